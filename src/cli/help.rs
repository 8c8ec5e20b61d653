//! The help texts.

/// What `-V` prints.
pub(crate) const VERSION: &str = concat!("spectral ", env!("CARGO_PKG_VERSION"), "\n");

/// What `-h` prints: one screen.
pub(crate) const SHORT: &str = "\
spectral captures what an app says and hears over HTTP, HTTPS and WebSocket.

  spectral capture run [OPTIONS] -- COMMAND
                                        run a command and capture its traffic
  spectral capture proxy [OPTIONS]      capture into a bundle until Ctrl+C
  spectral capture discover [OPTIONS]   only list the domains an app talks to
  spectral capture inspect FILE [OPTIONS]
                                        show what a bundle holds
  spectral capture export FILE --format har|curl [-o FILE]
                                        the same in other tools' words
  spectral capture merge FILE FILE… -o FILE
                                        one bundle of several
  spectral capture redact FILE -o FILE  a copy without what is secret
  spectral capture recover FILE.zip.part [-o FILE]
                                        make a bundle of what a capture left
                                        that did not end
  spectral ca path|show|export|env|install|uninstall|help
                                        the certificate that apps have to trust

  -p, --port N           port to listen on, 0 for any (8080; run: 0)
      --listen ADDR      address to listen on (127.0.0.1)
      --transparent      serve redirected traffic too
  -q, --quiet            say nothing but errors
  -v, --verbose          run and proxy: a line for each exchange
      --json             discover: the domains as JSON, to stdout
run and proxy:
  -o, --output FILE      the bundle (capture.zip)
  -d, --domain PATTERN   capture only such hosts; repeatable (all)
  -e, --exclude PATTERN  never capture such hosts; repeatable
  -k, --insecure         accept any certificate from origins
      --upstream-ca FILE trust these certificates in origins too; repeatable
      --passthrough-refused
                         leave hosts alone whose apps refuse our certificate
      --ca-dir DIR       where our CA is, or is made (~/.mitmproxy); ca too
      --memory SIZE      take about so much memory at most (64M)
      --max-body SIZE    decode bodies up to this size (1G)
inspect:
      --trace t_0001, --ws ws_0001      one exchange, or a WebSocket's messages
      --body t_0001 [request|response]  a body as its bytes
      --json, --follow                  for programs; go on as a capture does
redact:
      --header NAME, --query NAME, --json NAME
                                        secret too; repeatable
inspect and export:
      --host PATTERN, --method M, --status 4xx, --grep TEXT
                                        what is meant; repeatable

--help says more.
";

/// What `--help` prints.
pub(crate) const LONG: &str = "\
spectral captures what an app says and hears over HTTP, HTTPS and WebSocket.

USAGE
  spectral capture run [OPTIONS] [--] COMMAND [ARGS…]
      Runs a command whose traffic is captured, with nothing to set up: it
      gets variables that send it through a proxy on a free port, and that
      have it trust what the proxy shows. When it ends the bundle is written,
      and its exit code is ours. Streams and signals are its own.

          spectral capture run -- curl https://api.example.com/users
          spectral capture run -o tests.zip -d '*.example.com' -- npm test

      Reaches whatever reads such variables: curl, wget, git, cargo, pip, npm,
      Python (urllib, requests, httpx; aiohttp with trust_env=True), Node (from
      22.21 or 24.5 on), Go (but for localhost), Java, Ruby, Deno and more.
      What the command leaves running in the background is captured until the
      command itself ends. Proxies that were set before are not asked. Inside
      of it, SPECTRAL_PROXY is the proxy's address.

  spectral capture proxy [OPTIONS]
      A proxy on a port of this machine. Whatever respects HTTP_PROXY and
      HTTPS_PROXY can be sent through it. At Ctrl+C (or SIGTERM, or when the
      terminal goes away) everything captured is in the bundle, a ZIP file.

          spectral capture proxy -p 8080 -o capture.zip -d '*.example.com'
          HTTPS_PROXY=http://127.0.0.1:8080 curl --cacert \\
              ~/.mitmproxy/mitmproxy-ca-cert.pem https://api.example.com/users

  spectral capture discover [OPTIONS]
      Passes everything through untouched and lists the domains an app talks
      to, with a line of -d options to go on with. Needs no certificate.

  spectral capture inspect FILE [OPTIONS]
      Shows what a bundle holds: a line for each exchange and WebSocket, or one
      of them whole. Of a capture that still runs, FILE.part is shown as far as
      it is written.

          spectral capture inspect capture.zip --host '*.example.com' --status 5xx
          spectral capture inspect capture.zip --json | jq -r .request.url

  spectral capture export FILE --format har|curl [-o FILE]
      Writes what is meant as an HTTP Archive (HAR 1.2, for browsers' developer
      tools and others), or as shell commands that ask the same again.

  spectral capture merge FILE FILE… -o FILE
      Makes one bundle of several. Ids get the number of their bundle: t_0001 of
      the second is t_002_0001.

  spectral capture redact FILE -o FILE [--header NAME] [--query NAME] [--json NAME]
      Makes a bundle to show to others. The values of Authorization,
      Proxy-Authorization, Cookie and Set-Cookie, and of what is named, are
      replaced by placeholders; equal values by equal ones. It says how many, and
      what it could not search. A secret under another name stays.

  spectral capture recover FILE.zip.part [-o FILE]
      While a capture runs, what it has is in FILE.zip.part. If it did not come
      to its end (a crash, kill -9, a full disk), this makes a bundle of all
      that is whole in there: every exchange and message that had ended. The
      bundle is FILE.zip, unless -o says otherwise; one that is there is kept
      as FILE.zip.bak. FILE.zip.part stays as it is.

  spectral ca path
  spectral ca show
      Where the certificate is that apps have to trust, and what it says.
  spectral ca export [--format pem|der|p12|mobileconfig] [-o FILE]
      The certificate, never its key: for programs, for Java and Windows (with
      the password changeit), for iPhones, iPads and Macs. [pem, to stdout]
  spectral ca env [--shell sh|fish|powershell] [-p N] [--listen ADDR]
      Lines for a shell that send what it starts through a proxy on that port,
      and have it trust what the proxy shows. --unset prints the way back.

          spectral capture proxy &
          eval \"$(spectral ca env)\"

  spectral ca install [--dry-run]
  spectral ca uninstall [--dry-run]
      Puts the certificate into the system's own store (Debian, Alpine,
      Fedora, Arch, SUSE, macOS) or takes it out. Shows each command before
      it runs it; who is not root is only told what to run.
  spectral ca help firefox|chrome|ios|android|java|wsl
      The steps for one platform.

OPTIONS of run, proxy and discover
  -p, --port N
      The port to listen on. 0 picks one that is free. [8080; run: 0]
  --listen ADDR
      The address to listen on. Anyone who reaches it can use the proxy, so
      think twice before you change it. [127.0.0.1]
  --transparent
      Also serve traffic that a firewall redirects to the port: requests by
      their Host field, TLS by its server name to port 443. Not for run.
  -q, --quiet
      Say nothing but errors.
  -v, --verbose
      Only for run and proxy: a line for each exchange and WebSocket as it ends.
      On a terminal a line of proxy says in any case how it is going; run says
      nothing while its command runs.
  --json
      Only for discover: at the end a line of JSON for each domain, to stdout.

OPTIONS of run and proxy
  -o, --output FILE
      The bundle. One that is there is replaced only when the new one is
      complete, and kept as FILE.bak. [capture.zip]
  -d, --domain PATTERN
      Capture only hosts that match; may be given several times. [all]
      A pattern is a whole host name, in which * stands for any run of
      characters and ? for one: *.example.com means every name under
      example.com, but not example.com itself. A port may follow: *:8443.
      A host matches if the name asked for, the server name in TLS, or the
      Host field does. All other traffic passes through, unread.
  -e, --exclude PATTERN
      Never capture hosts that match, whatever -d says; may be given several
      times.
  -k, --insecure
      Accept any certificate from origins. Without it, traffic to an origin
      whose certificate this machine does not trust passes through unread, and
      the app judges the certificate itself.
  --upstream-ca FILE
      Trust the certificates in FILE (PEM) in origins, besides the machine's
      own roots; may be given several times.
  --passthrough-refused
      An app that refuses our certificate for a host fails. With this it fails
      once: from then on the host passes through, unread.
  --ca-dir DIR
      Where the CA is that signs the certificates shown to apps, in mitmproxy's
      layout. Made on first use. [~/.mitmproxy]
  --memory SIZE
      Take about so much memory at most. A quarter of it is for bodies; what is
      more, and bodies past 256K, go to files without a name beside the bundle.
      [64M]
  --max-body SIZE
      Decode bodies (gzip, br, ...) that come to no more than this. A larger
      one, or one that no honest server sends, is kept as received. [1G]
      Sizes are bytes; K, M and G stand for 1024, 1024 K and 1024 M.

OPTIONS of inspect
  --trace ID
      Show one exchange whole: heads, bodies, times.
  --ws ID
      Show the messages of one WebSocket.
  --body ID [request|response]
      Write a body as its bytes: an exchange's (its response's, unless request
      is said), or a WebSocket message's (ws_0001_m001). What a terminal would
      obey is not written to one.
  --json
      A line of JSON for each exchange, in the bundle's own field names, with
      cut_off (\"request\", \"response\" or null) added; for each WebSocket, with
      type \"websocket\" added; with --ws for each message, with text or base64
      added.
  --follow
      Go on as long as a capture writes the bundle.

OPTIONS of export
  --format har|curl
      In whose words.
  -o, --output FILE
      Where to. [stdout]
  --trace ID
      One exchange alone.

OPTIONS of merge
  -o, --output FILE
      The new bundle.

OPTIONS of redact. Names may be given several times, and mean the same in upper
and lower case.
  -o, --output FILE
      The new bundle.
  --header NAME
      The value of this header is secret too.
  --query NAME
      The value of this parameter is: in URLs, wherever they stand (the request,
      its headers, textual bodies), and in forms.
  --json NAME
      The value of this member is: in textual bodies and WebSocket messages, and
      in forms.
  --keep-coded
      Keep bodies that could not be decoded, though they cannot be searched.

OPTIONS of inspect and export: which exchanges and WebSockets are meant. Of one
kind any, of several kinds all have to fit.
  --host PATTERN
      The host in the URL, as with -d.
  --method METHOD
  --status STATUS
      404, 4xx, 200-299; 0 is no answer.
  --grep TEXT
      TEXT, whatever its case, in the URL, the headers or a textual body; in a
      WebSocket's text messages.

  -h, --help, -V, --version

EXIT CODES
  0  done    1  it could not begin, or something was lost    2  wrong usage
  run ends with its command's: 128 and the signal's number if a signal ended
  it, 127 if it is not found, 126 if it cannot be executed; 1 if the command
  succeeded and the bundle is incomplete.
";
