import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

/** A client for the table of programs: prints the body of a URL, with the new or the old class. */
class Client {
    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create(arguments[1]);
        if (arguments[0].equals("old")) {
            System.out.print(new String(uri.toURL().openStream().readAllBytes()));
        } else {
            var client = HttpClient.newHttpClient();
            System.out.print(client.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString()).body());
        }
    }
}
