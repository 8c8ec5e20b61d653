//! Every command and every option, once: what `-h`, `--help`, the man page and the completions are made of.
//!
//! Texts are paragraphs with an empty line between them, wrapped where they are shown. Lines that begin with four blanks
//! are examples, and stay as they are.

use super::{Command, Operand, Opt, Value};

/// What the program is.
pub(super) const ABOUT: &str = "captures what an app says and hears over HTTP, HTTPS and WebSocket";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: RUN,
        usage: "[OPTIONS] [--] COMMAND [ARGS…]",
        brief: "run a command and capture its traffic",
        about: "Runs a command whose traffic is captured, with nothing to set up: it gets variables that send it through a \
                proxy on a free port, and that have it trust what the proxy shows. When it ends the bundle is written, and \
                its exit code is ours. Streams and signals are its own.\n\
                \n    spectral capture run -- curl https://api.example.com/users\
                \n    spectral capture run -o tests.zip -d '*.example.com' -- npm test\n\
                \nReaches whatever reads such variables: curl, wget, git, cargo, pip, npm, Python (urllib, requests, httpx; \
                aiohttp with trust_env=True), Node (from 22.21 or 24.5 on), Go (but for localhost), Java, Ruby, Deno and \
                more. What the command leaves running in the background is captured until the command itself ends. Proxies \
                that were set before are not asked. Inside of it, SPECTRAL_PROXY is the proxy's address.",
        operand: Operand::Program,
    },
    Command {
        words: PROXY,
        usage: "[OPTIONS]",
        brief: "capture into a bundle until Ctrl+C",
        about: "A proxy on a port of this machine. Whatever respects HTTP_PROXY and HTTPS_PROXY can be sent through it. At \
                Ctrl+C (or SIGTERM, or when the terminal goes away) everything captured is in the bundle, a ZIP file.\n\
                \n    spectral capture proxy -p 8080 -o capture.zip -d '*.example.com'\
                \n    HTTPS_PROXY=http://127.0.0.1:8080 curl --cacert \\\
                \n        ~/.mitmproxy/mitmproxy-ca-cert.pem https://api.example.com/users",
        operand: Operand::Nothing,
    },
    Command {
        words: DISCOVER,
        usage: "[OPTIONS]",
        brief: "only list the domains an app talks to",
        about: "Passes everything through untouched and lists the domains an app talks to: connections, plain requests, \
                bytes. Ends with a line of -d options to go on with. Needs no certificate. A domain that is known only by \
                what was asked of the proxy (CONNECT), without a server name in TLS, is marked.",
        operand: Operand::Nothing,
    },
    Command {
        words: INSPECT,
        usage: "FILE [OPTIONS]",
        brief: "show what a bundle holds",
        about: "Shows what a bundle holds: a line for each exchange and WebSocket, or one of them whole. Of a capture that \
                still runs, FILE.part is shown as far as it is written.\n\
                \n    spectral capture inspect capture.zip --host '*.example.com' --status 5xx\
                \n    spectral capture inspect capture.zip --json | jq -r .request.url",
        operand: Operand::File,
    },
    Command {
        words: EXPORT,
        usage: "FILE --format har|curl [OPTIONS]",
        brief: "write it in other tools' words",
        about: "Writes what is meant as an HTTP Archive (HAR 1.2, for browsers' developer tools and others), or as shell \
                commands that ask the same again.",
        operand: Operand::File,
    },
    Command {
        words: MERGE,
        usage: "FILE FILE… -o FILE",
        brief: "make one bundle of several",
        about: "Makes one bundle of several. Ids get the number of their bundle: t_0001 of the second is t_002_0001.",
        operand: Operand::File,
    },
    Command {
        words: REDACT,
        usage: "FILE -o FILE [OPTIONS]",
        brief: "make a copy without what is secret",
        about: "Makes a bundle to show to others. The values of Authorization, Proxy-Authorization, Cookie and Set-Cookie, \
                and of what is named, are replaced by placeholders; equal values by equal ones. It says how many, and what \
                it could not search. A secret under another name stays.",
        operand: Operand::File,
    },
    Command {
        words: RECOVER,
        usage: "FILE.zip.part [-o FILE]",
        brief: "make a bundle of what a dead capture left",
        about: "While a capture runs, what it has is in FILE.zip.part. If it did not come to its end (a crash, kill -9, a \
                full disk), this makes a bundle of all that is whole in there: every exchange and message that had ended. \
                The bundle is FILE.zip, unless -o says otherwise; one that is there is kept as FILE.zip.bak. FILE.zip.part \
                stays as it is.",
        operand: Operand::File,
    },
    Command {
        words: "ca path",
        usage: "",
        brief: "where the certificate is that apps have to trust",
        about: "Where the certificate is that apps have to trust.",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca show",
        usage: "",
        brief: "what it says",
        about: "What that certificate says.",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca export",
        usage: "[OPTIONS]",
        brief: "a copy of it",
        about: "The certificate, never its key: for programs, for Java and Windows (with the password changeit), for \
                iPhones, iPads and Macs.",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca env",
        usage: "[OPTIONS]",
        brief: "lines for a shell, to use a proxy and trust it",
        about: "Lines for a shell that send what it starts through a proxy on that port, and have it trust what the proxy \
                shows.\n\
                \n    spectral capture proxy &\
                \n    eval \"$(spectral ca env)\"",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca install",
        usage: "[--dry-run]",
        brief: "put it into the system's own store",
        about: "Puts the certificate into the system's own store (Debian, Alpine, Fedora, Arch, SUSE, macOS). Shows each \
                command before it runs it; who is not root is only told what to run.",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca uninstall",
        usage: "[--dry-run]",
        brief: "take it out again",
        about: "Takes the certificate out of the system's own store, as install puts it in.",
        operand: Operand::Nothing,
    },
    Command {
        words: "ca help",
        usage: "firefox|chrome|ios|android|java|wsl",
        brief: "the steps for one platform",
        about: "The steps for one platform.",
        operand: Operand::Words(&["firefox", "chrome", "ios", "android", "java", "wsl"]),
    },
    Command {
        words: "completions",
        usage: "bash|zsh|fish",
        brief: "completions for a shell",
        about: "Prints what a shell needs to complete the commands and options of this program.\n\
                \n    source <(spectral completions bash)\
                \n    spectral completions zsh > \"${fpath[1]}/_spectral\"\
                \n    spectral completions fish > ~/.config/fish/completions/spectral.fish",
        operand: Operand::Words(&["bash", "zsh", "fish"]),
    },
    Command {
        words: "man",
        usage: "",
        brief: "this as a man page",
        about: "Prints a man page.\n\
                \n    spectral man > ~/.local/share/man/man1/spectral.1",
        operand: Operand::Nothing,
    },
];

pub(super) const OPTIONS: &[Opt] = &[
    Opt {
        short: Some('p'),
        long: "port",
        value: Value::Text("N"),
        of: &[RUN, PROXY, DISCOVER, "ca env", "ca help"],
        brief: "port to listen on, 0 for any (8080; run: 0)",
        about: "The port to listen on. 0 picks one that is free. [8080; run: 0]",
    },
    Opt {
        short: None,
        long: "listen",
        value: Value::Text("ADDR"),
        of: &[RUN, PROXY, DISCOVER, "ca env", "ca help"],
        brief: "address to listen on (127.0.0.1)",
        about: "The address to listen on. Anyone who reaches it can use the proxy, so think twice before you change it. \
                [127.0.0.1]",
    },
    Opt {
        short: Some('q'),
        long: "quiet",
        value: Value::None,
        of: &[RUN, PROXY, DISCOVER],
        brief: "say nothing but errors",
        about: "Say nothing but errors.",
    },
    Opt {
        short: None,
        long: "transparent",
        value: Value::None,
        of: &[PROXY, DISCOVER],
        brief: "serve redirected traffic too",
        about: "Also serve traffic that a firewall redirects to the port: requests by their Host field, TLS by its server \
                name to port 443.",
    },
    Opt {
        short: None,
        long: "json",
        value: Value::None,
        of: &[DISCOVER],
        brief: "the domains as JSON, to stdout",
        about: "At the end a line of JSON for each domain, to stdout: domain, name_source (\"name\" or \"connect\"), \
                connections, requests (null where they could not be seen), bytes_sent, bytes_received.",
    },
    Opt {
        short: Some('v'),
        long: "verbose",
        value: Value::None,
        of: &[RUN, PROXY],
        brief: "a line for each exchange",
        about: "A line for each exchange and WebSocket as it ends. On a terminal a line of proxy says in any case how it is \
                going; run says nothing while its command runs.",
    },
    Opt {
        short: Some('o'),
        long: "output",
        value: Value::File,
        of: &[RUN, PROXY],
        brief: "the bundle (capture.zip)",
        about: "The bundle. One that is there is replaced only when the new one is complete, and kept as FILE.bak. \
                [capture.zip]",
    },
    Opt {
        short: Some('d'),
        long: "domain",
        value: Value::Text("PATTERN"),
        of: &[RUN, PROXY],
        brief: "capture only such hosts; repeatable (all)",
        about: "Capture only hosts that match; may be given several times. [all]\n\
                \nA pattern is a whole host name, in which * stands for any run of characters and ? for one: *.example.com \
                means every name under example.com, but not example.com itself. A port may follow: *:8443. A host matches \
                if the name asked for, the server name in TLS, or the Host field does. All other traffic passes through, \
                unread.",
    },
    Opt {
        short: Some('e'),
        long: "exclude",
        value: Value::Text("PATTERN"),
        of: &[RUN, PROXY],
        brief: "never capture such hosts; repeatable",
        about: "Never capture hosts that match, whatever -d says; may be given several times.",
    },
    Opt {
        short: Some('k'),
        long: "insecure",
        value: Value::None,
        of: &[RUN, PROXY],
        brief: "accept any certificate from origins",
        about: "Accept any certificate from origins. Without it, traffic to an origin whose certificate this machine does \
                not trust passes through unread, and the app judges the certificate itself.",
    },
    Opt {
        short: None,
        long: "upstream-ca",
        value: Value::File,
        of: &[RUN, PROXY],
        brief: "trust these certificates in origins too; repeatable",
        about: "Trust the certificates in FILE (PEM) in origins, besides the machine's own roots; may be given several \
                times.",
    },
    Opt {
        short: None,
        long: "passthrough-refused",
        value: Value::None,
        of: &[RUN, PROXY],
        brief: "leave hosts alone whose apps refuse our certificate",
        about: "An app that refuses our certificate for a host fails. With this it fails once: from then on the host passes \
                through, unread.",
    },
    Opt {
        short: None,
        long: "memory",
        value: Value::Text("SIZE"),
        of: &[RUN, PROXY],
        brief: "take about so much memory at most (64M)",
        about: "Take about so much memory at most. An eighth of it is for bodies; what is more, and bodies past 256K, go to \
                files without a name beside the bundle. [64M]",
    },
    Opt {
        short: None,
        long: "max-body",
        value: Value::Text("SIZE"),
        of: &[RUN, PROXY],
        brief: "decode bodies up to this size (1G)",
        about: "Decode bodies (gzip, br, ...) that come to no more than this. A larger one, or one that no honest server \
                sends, is kept as received. [1G]\n\
                \nSizes are bytes; K, M and G stand for 1024, 1024 K and 1024 M.",
    },
    Opt {
        short: None,
        long: "ca-dir",
        value: Value::Folder,
        of: &[RUN, PROXY, "ca path", "ca show", "ca export", "ca env", "ca install", "ca uninstall", "ca help"],
        brief: "where our CA is, or is made (~/.mitmproxy)",
        about: "Where the CA is that signs the certificates shown to apps, in mitmproxy's layout. Made on first use. \
                [~/.mitmproxy]",
    },
    Opt {
        short: None,
        long: "trace",
        value: Value::Text("ID"),
        of: &[INSPECT],
        brief: "one exchange whole (t_0001)",
        about: "Show one exchange whole: heads, bodies, times.",
    },
    Opt {
        short: None,
        long: "ws",
        value: Value::Text("ID"),
        of: &[INSPECT],
        brief: "the messages of one WebSocket (ws_0001)",
        about: "Show the messages of one WebSocket.",
    },
    Opt {
        short: None,
        long: "body",
        value: Value::Text("ID [request|response]"),
        of: &[INSPECT],
        brief: "a body as its bytes",
        about: "Write a body as its bytes: an exchange's (its response's, unless request is said), or a WebSocket message's \
                (ws_0001_m001). What a terminal would obey is not written to one.",
    },
    Opt {
        short: None,
        long: "json",
        value: Value::None,
        of: &[INSPECT],
        brief: "a line of JSON for each",
        about: "A line of JSON for each exchange, in the bundle's own field names, with cut_off (\"request\", \"response\" \
                or null) added; for each WebSocket, with type \"websocket\" added; with --ws for each message, with text or \
                base64 added.",
    },
    Opt {
        short: None,
        long: "follow",
        value: Value::None,
        of: &[INSPECT],
        brief: "go on as long as a capture does",
        about: "Go on as long as a capture writes the bundle; with --ws, until that WebSocket ends.",
    },
    Opt {
        short: None,
        long: "format",
        value: Value::Words(&["har", "curl"]),
        of: &[EXPORT],
        brief: "in whose words",
        about: "In whose words.",
    },
    Opt {
        short: Some('o'),
        long: "output",
        value: Value::File,
        of: &[EXPORT],
        brief: "where to (stdout)",
        about: "Where to. [stdout]",
    },
    Opt {
        short: None,
        long: "trace",
        value: Value::Text("ID"),
        of: &[EXPORT],
        brief: "one exchange alone (t_0001)",
        about: "One exchange alone.",
    },
    Opt {
        short: None,
        long: "host",
        value: Value::Text("PATTERN"),
        of: &[INSPECT, EXPORT],
        brief: "only such hosts; repeatable",
        about: "Only exchanges and WebSockets whose URL has such a host, a pattern as with -d. Of the options --host, \
                --method, --status and --grep, one kind given several times means any of them; several kinds mean all of \
                them.",
    },
    Opt {
        short: None,
        long: "method",
        value: Value::Text("METHOD"),
        of: &[INSPECT, EXPORT],
        brief: "only this method; repeatable",
        about: "Only this method, in upper or lower case.",
    },
    Opt {
        short: None,
        long: "status",
        value: Value::Text("STATUS"),
        of: &[INSPECT, EXPORT],
        brief: "only such statuses: 404, 4xx, 200-299; repeatable",
        about: "Only such statuses: 404, 4xx, 200-299; 0 is no answer.",
    },
    Opt {
        short: None,
        long: "grep",
        value: Value::Text("TEXT"),
        of: &[INSPECT, EXPORT],
        brief: "only with this text in them; repeatable",
        about: "Only with TEXT, whatever its case, in the URL, the headers or a textual body; or in a WebSocket's text \
                messages.",
    },
    Opt {
        short: Some('o'),
        long: "output",
        value: Value::File,
        of: &[MERGE, REDACT, RECOVER],
        brief: "the new bundle",
        about: "The new bundle. One that is there is kept as FILE.bak.",
    },
    Opt {
        short: None,
        long: "header",
        value: Value::Text("NAME"),
        of: &[REDACT],
        brief: "this header is secret too; repeatable",
        about: "The value of this header is secret too. Names may be given several times, and mean the same in upper and \
                lower case.",
    },
    Opt {
        short: None,
        long: "query",
        value: Value::Text("NAME"),
        of: &[REDACT],
        brief: "this parameter is, in URLs and forms; repeatable",
        about: "The value of this parameter is: in URLs, wherever they stand (the request, its headers, textual bodies), \
                and in forms.",
    },
    Opt {
        short: None,
        long: "json",
        value: Value::Text("NAME"),
        of: &[REDACT],
        brief: "this member is, in JSON and forms; repeatable",
        about: "The value of this member is: in textual bodies and WebSocket messages, and in forms.",
    },
    Opt {
        short: None,
        long: "keep-coded",
        value: Value::None,
        of: &[REDACT],
        brief: "keep bodies that could not be decoded",
        about: "Keep bodies that could not be decoded, though they cannot be searched.",
    },
    Opt {
        short: None,
        long: "format",
        value: Value::Words(&["pem", "der", "p12", "mobileconfig"]),
        of: &["ca export"],
        brief: "for whom (pem)",
        about: "For whom: pem for programs, der and p12 for Java and Windows, mobileconfig for Apple's. [pem]",
    },
    Opt {
        short: Some('o'),
        long: "output",
        value: Value::File,
        of: &["ca export"],
        brief: "where to (stdout)",
        about: "Where to. [stdout]",
    },
    Opt {
        short: None,
        long: "shell",
        value: Value::Words(&["sh", "fish", "powershell"]),
        of: &["ca env"],
        brief: "whose lines (sh)",
        about: "Whose lines. [sh]",
    },
    Opt {
        short: None,
        long: "unset",
        value: Value::None,
        of: &["ca env"],
        brief: "the way back",
        about: "Print the way back.",
    },
    Opt {
        short: None,
        long: "dry-run",
        value: Value::None,
        of: &["ca install", "ca uninstall"],
        brief: "only say what would be run",
        about: "Only say what would be run.",
    },
];

/// What exit codes mean.
pub(super) const EXIT_CODES: &str = "0 is done; 1, it could not begin, or something was lost; 2, wrong usage.\n\
    \ncapture run ends with its command's: 128 and the signal's number if a signal ended it, 127 if it is not found, 126 if it \
    cannot be executed; 1 if the command succeeded and the bundle is incomplete.";

const RUN: &str = "capture run";
const PROXY: &str = "capture proxy";
const DISCOVER: &str = "capture discover";
const INSPECT: &str = "capture inspect";
const EXPORT: &str = "capture export";
const MERGE: &str = "capture merge";
const REDACT: &str = "capture redact";
const RECOVER: &str = "capture recover";
