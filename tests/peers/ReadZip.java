import java.io.FileInputStream;
import java.io.InputStream;
import java.util.Collections;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipInputStream;

/** Reads all entries of a ZIP file by its directory and by its local headers, and prints their numbers and sizes. */
class ReadZip {
    public static void main(String[] args) throws Exception {
        int count = 0;
        long bytes = 0;
        try (ZipFile file = new ZipFile(args[0])) {
            for (ZipEntry entry : Collections.list(file.entries())) {
                try (InputStream content = file.getInputStream(entry)) {
                    bytes += content.readAllBytes().length;
                }
                count++;
            }
        }
        System.out.println("directory " + count + " " + bytes);
        count = 0;
        bytes = 0;
        try (ZipInputStream stream = new ZipInputStream(new FileInputStream(args[0]))) {
            while (stream.getNextEntry() != null) {
                bytes += stream.readAllBytes().length;
                count++;
            }
        }
        System.out.println("local headers " + count + " " + bytes);
    }
}
