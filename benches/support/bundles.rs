//! Bundles of any size, written without a capture.

use super::samples::items;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Writes a bundle with `count` exchanges. Exchange `n` has the response body `body(n)`, of this media type.
pub(crate) fn write_bundle(path: &Path, count: usize, media_type: &str, body: impl Fn(usize) -> Vec<u8>) {
    let mut bundle = BundleWriter::new(path);
    for n in 1..=count {
        bundle.exchange(n, media_type, &mut |out| out.write_all(&body(n)));
    }
    bundle.finish(count);
}

/// Writes a bundle with one body of `size` bytes, made of copies of `piece`.
pub(crate) fn write_large(path: &Path, media_type: &str, size: usize, piece: &[u8]) {
    let mut bundle = BundleWriter::new(path);
    bundle.exchange(1, media_type, &mut |out| {
        let mut left = size;
        while left > 0 {
            let part = &piece[..left.min(piece.len())];
            out.write_all(part)?;
            left -= part.len();
        }
        Ok(())
    });
    bundle.finish(1);
}

/// Returns the JSON of a small body, different for each `n`.
pub(crate) fn small_body(n: usize) -> Vec<u8> {
    let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let item = |at: usize| {
        let bits = random.rotate_left(at as u32 * 7);
        format!(
            "{{\"id\": {}, \"sku\": \"{bits:016x}\", \"name\": \"item {}\", \"price\": {}.{:02}, \"in_stock\": {}}}",
            n + at,
            bits % 977,
            bits % 10_000,
            bits % 100,
            bits & 1 == 1
        )
    };
    let list: Vec<_> = (0..7).map(item).collect();
    format!("{{\"page\": {n}, \"token\": \"{random:016x}\", \"items\": [{}]}}", list.join(", ")).into_bytes()
}

/// Returns a body of JSON with `size` bytes.
pub(crate) fn json_bodies(size: usize) -> impl Fn(usize) -> Vec<u8> {
    let text = items(size);
    move |n| {
        let mut text = text.clone();
        // Every body differs.
        write!(&mut text[..40], "{{\"id\": {n:>30}, ").unwrap();
        text
    }
}

struct BundleWriter {
    zip: ZipWriter<BufWriter<File>>,
}

impl BundleWriter {
    fn new(path: &Path) -> Self {
        Self { zip: ZipWriter::new(BufWriter::with_capacity(1 << 20, File::create(path).unwrap())) }
    }

    /// Adds an exchange. `body` writes its response body.
    fn exchange(
        &mut self,
        n: usize,
        media_type: &str,
        body: &mut dyn FnMut(&mut CountingWriter<'_>) -> std::io::Result<()>,
    ) {
        self.begin(format!("traces/t_{n:04}_response.bin"));
        let mut out = CountingWriter { out: &mut self.zip, count: 0 };
        body(&mut out).unwrap();
        let size = out.count;
        self.begin(format!("traces/t_{n:04}.json"));
        let trace = TRACE
            .replace("{n}", &format!("{n:04}"))
            .replace("{time}", &(1_700_000_000_000 + n * 3).to_string())
            .replace("{size}", &size.to_string())
            .replace("{type}", media_type)
            .replace("{random}", &format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        self.zip.write_all(trace.as_bytes()).unwrap();
    }

    fn finish(mut self, count: usize) {
        self.begin("timeline.json".into());
        self.zip.write_all(b"{\n  \"events\": []\n}").unwrap();
        self.begin("manifest.json".into());
        // Not a UUID, so that a merge takes two such bundles for different captures.
        let manifest = format!(
            "{{\"format_version\": \"1.0.0\", \"capture_id\": \"bench\", \"created_at\": \"2026-01-01T00:00:00+00:00\", \
             \"stats\": {{\"trace_count\": {count}}}, \"capture_method\": \"proxy\"}}"
        );
        self.zip.write_all(manifest.as_bytes()).unwrap();
        self.zip.finish().unwrap().flush().unwrap();
    }

    fn begin(&mut self, name: String) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .large_file(true);
        self.zip.start_file(name, options).unwrap();
    }
}

/// Counts the bytes of a body.
pub(crate) struct CountingWriter<'z> {
    out: &'z mut ZipWriter<BufWriter<File>>,
    count: usize,
}

impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        self.count += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The JSON of an exchange as a capture writes it, with the fields that a browser and an API send.
const TRACE: &str = r#"{
  "id": "t_{n}",
  "timestamp": {time},
  "type": "http",
  "request": {
    "method": "GET",
    "url": "https://api.example.test/v2/items?page={n}&token={random}",
    "headers": [
      {
        "name": "Host",
        "value": "api.example.test"
      },
      {
        "name": "User-Agent",
        "value": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
      },
      {
        "name": "Accept",
        "value": "application/json, text/plain, */*"
      },
      {
        "name": "Accept-Encoding",
        "value": "gzip, deflate, br, zstd"
      },
      {
        "name": "Authorization",
        "value": "Bearer {random}{random}"
      },
      {
        "name": "Cookie",
        "value": "session={random}; theme=dark"
      }
    ],
    "body_file": null,
    "body_size": 0,
    "body_encoding": null
  },
  "response": {
    "status": 200,
    "status_text": "OK",
    "headers": [
      {
        "name": "Content-Type",
        "value": "{type}"
      },
      {
        "name": "Content-Length",
        "value": "{size}"
      },
      {
        "name": "Date",
        "value": "Mon, 30 Nov 2026 12:00:00 GMT"
      },
      {
        "name": "ETag",
        "value": "\"{random}\""
      },
      {
        "name": "Cache-Control",
        "value": "private, max-age=0"
      }
    ],
    "body_file": "t_{n}_response.bin",
    "body_size": {size},
    "body_encoding": null
  },
  "timing": {
    "dns_ms": 0.0,
    "connect_ms": 0.0,
    "tls_ms": 0.0,
    "send_ms": 0.041,
    "wait_ms": 12.345,
    "receive_ms": 0.321,
    "total_ms": 12.707
  },
  "initiator": {
    "type": "proxy",
    "url": null,
    "line": null
  },
  "context_refs": []
}"#;
