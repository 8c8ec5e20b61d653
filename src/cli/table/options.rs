//! The options. A declaration is shared by all commands for which the text is true.

use super::{Opt, ValueKind};

/// The options of every command.
pub(crate) const COMMON: &[&Opt] = &[&HELP, &VERSION];

pub(crate) static HELP: Opt = Opt {
    short: Some('h'),
    long: "help",
    value: ValueKind::None,
    brief: "Print help (-h: summary, --help: details)",
    more: "",
};

pub(crate) static VERSION: Opt =
    Opt { short: Some('V'), long: "version", value: ValueKind::None, brief: "Print the version", more: "" };

pub(crate) static PORT: Opt = Opt {
    short: Some('p'),
    long: "port",
    value: ValueKind::Text("PORT"),
    brief: "Port to listen on, 0 for any free port [default: 8080]",
    more: "",
};

pub(crate) static RUN_PORT: Opt = Opt { brief: "Port to listen on, 0 for any free port [default: 0]", ..PORT };

pub(crate) static PROXY_PORT: Opt = Opt { brief: "Port of the proxy [default: 8080]", ..PORT };

pub(crate) static LISTEN: Opt = Opt {
    short: None,
    long: "listen",
    value: ValueKind::Text("ADDR"),
    brief: "IP address to listen on [default: 127.0.0.1]",
    more: "Anyone who can connect to this address can use the proxy, unless it requires a password (--auth-file).",
};

pub(crate) static RUN_LISTEN: Opt = Opt { more: "Anyone who can connect to this address can use the proxy.", ..LISTEN };

pub(crate) static AUTH_FILE: Opt = Opt {
    short: None,
    long: "auth-file",
    value: ValueKind::File,
    brief: "Require the user and password in FILE (USER:PASSWORD)",
    more: "They are the first line of FILE, or the value of the environment variable SPECTRAL_AUTH. Clients send them as \
           http://USER:PASSWORD@HOST:PORT. The page with the certificate stays open.",
};

pub(crate) static PROXY_ADDRESS: Opt =
    Opt { brief: "IP address of the proxy [default: 127.0.0.1]", more: "", ..LISTEN };

pub(crate) static QUIET: Opt =
    Opt { short: Some('q'), long: "quiet", value: ValueKind::None, brief: "Print only errors and warnings", more: "" };

pub(crate) static NO_PROGRESS: Opt = Opt {
    brief: "Show no progress",
    more: "It is shown on a terminal after a second, and erased at the end.",
    ..QUIET
};

pub(crate) static PROXY_QUIET: Opt = Opt { more: "With -p 0, also the address.", ..QUIET };

pub(crate) static VERBOSE: Opt = Opt {
    short: Some('v'),
    long: "verbose",
    value: ValueKind::None,
    brief: "Print a line for each exchange and WebSocket",
    more: "",
};

pub(crate) static LOG_EVERY: Opt = Opt {
    short: None,
    long: "log-every",
    value: ValueKind::Text("TIME"),
    brief: "Print the progress to stderr at this interval",
    more: "From 1s to 365d, such as 30s, 5m or 1h. Also with -q. A terminal has a status line without this option. SIGUSR1 \
           prints a summary at any time.",
};

pub(crate) static STOP_AFTER: Opt = Opt {
    short: None,
    long: "stop-after",
    value: ValueKind::Text("LIMIT"),
    brief: "End the capture at a size, time or number of exchanges; repeatable",
    more: "LIMIT is a size of the bundle (500K, 100M, 2G), a time (30s, 10min, 2h, 1d) or a number of exchanges (500). The \
           first limit that is reached ends the capture as Ctrl+C does: exchanges in progress are recorded as cut off.",
};

pub(crate) static STOP_AFTER_TIME: Opt = Opt {
    value: ValueKind::Text("TIME"),
    brief: "End the discovery after this time",
    more: "From 1s to 365d, such as 30s, 10min or 1h.",
    ..STOP_AFTER
};

pub(crate) static TRANSPARENT: Opt = Opt {
    short: None,
    long: "transparent",
    value: ValueKind::MayBeOneOf(&["by-name"]),
    brief: "Also serve traffic that a firewall redirects to the port",
    more: "On Linux, a connection that this machine's firewall redirects goes to its original destination. The firewall must \
           not redirect the proxy's own connections: run the proxy as a user of its own, and redirect all but that user.\n\
           \n    nft add rule ip nat output meta skuid != spectral tcp dport 443 redirect to :8080\n\
           \nWith by-name, connections that another machine redirects are also served, by their names: plain requests go to \
           the host in their Host field, TLS connections to their server name at port 443.",
};

pub(crate) static ALL: Opt = Opt {
    short: None,
    long: "all",
    value: ValueKind::None,
    brief: "Capture all TCP of the command, whatever it reads (Linux)",
    more: "Starts the command in a network of its own, without proxy variables, in which every connection arrives at Spectral and goes to \
           its destination from there. Needs no root where the system allows user namespaces. UDP is rejected except for DNS, so \
           that clients of HTTP/3 fall back, and so is ping. Servers of the command are reachable from the command only, and the \
           machine's own services on loopback by TCP only. A connection to another host that fails is accepted first, and then reset. \
           Abstract UNIX addresses outside cannot be reached. sudo and setuid programs have no privileges, unless Spectral runs as \
           root. Background processes lose the network when the command exits.",
};

pub(crate) static DISCOVER_ALL: Opt = Opt {
    brief: "List the domains of COMMAND, whatever it reads (Linux)",
    more: "As in 'capture run --all'. Stdout is the command's: the table, and with --json the lines, go to stderr, or to the FILE of -o.",
    ..ALL
};

pub(crate) static DOMAINS_FILE: Opt =
    Opt { brief: "File for the domains, with --all [default: stderr]", more: "", ..OUTPUT };

pub(crate) static DOMAINS_AS_JSON: Opt = Opt {
    short: None,
    long: "json",
    value: ValueKind::None,
    brief: "Print a line of JSON for each domain to stdout at the end",
    more: "Members: domain, known_by (\"name\" or \"connect\"), connections, requests (null if they were encrypted), \
           bytes_sent, bytes_received.",
};

pub(crate) static OUTPUT: Opt = Opt {
    short: Some('o'),
    long: "output",
    value: ValueKind::File,
    brief: "Bundle to write [default: capture.zip]",
    more: "An existing bundle is replaced when the new one is complete, and kept as FILE.bak; the next as FILE.2.bak, and so on. A \
           capture that recorded nothing does not replace a bundle, and its exit code is 1.",
};

pub(crate) static ROTATE: Opt = Opt {
    short: None,
    long: "rotate",
    value: ValueKind::Text("SIZE|TIME"),
    brief: "Begin a new bundle at this size or after this time",
    more: "A size (500K, 100M, 2G) or a time (30s, 10min, 2h, 1d). Bundles get numbers, FILE-0001.zip and so on, that continue \
           after the highest one that is there. Each is readable by itself; 'spectral capture merge' makes one of them. A \
           bundle without traffic is not ended.",
};

pub(crate) static KEEP: Opt = Opt {
    short: None,
    long: "keep",
    value: ValueKind::Text("N"),
    brief: "With --rotate, keep only the last N bundles",
    more: "Deletes older bundles of this capture. Bundles of other captures stay.",
};

pub(crate) static NEW_BUNDLE: Opt = Opt { brief: "Bundle to write", more: KEPT, ..OUTPUT };

pub(crate) static RECOVERED_BUNDLE: Opt = Opt { brief: "Bundle to write [default: FILE.zip]", more: KEPT, ..OUTPUT };

const KEPT: &str = "An existing FILE is kept as FILE.bak; the next as FILE.2.bak, and so on.";

pub(crate) static KEEP_BACKUPS: Opt = Opt {
    short: None,
    long: "keep-backups",
    value: ValueKind::Text("N"),
    brief: "Keep only the last N replaced bundles [default: all]",
    more: "Deletes the older of FILE.bak, FILE.2.bak and so on once the new bundle is complete. The highest number is the newest.",
};

pub(crate) static OUTPUT_OR_STDOUT: Opt = Opt { brief: "File to write, - for stdout [default: -]", more: "", ..OUTPUT };

pub(crate) static DOMAIN: Opt = Opt {
    short: Some('d'),
    long: "domain",
    value: ValueKind::Text("PATTERN"),
    brief: "Capture only matching hosts; repeatable [default: all]",
    more: "A pattern matches the whole host name; * matches any characters, ? exactly one. *.example.com matches every \
           name under example.com, but not example.com itself. A port may follow: *:8443. The pattern is compared with the \
           name in the request to the proxy, the server name in TLS and the Host field; one match is enough. All other \
           traffic is passed through.",
};

pub(crate) static EXCLUDE: Opt = Opt {
    short: Some('e'),
    long: "exclude",
    value: ValueKind::Text("PATTERN"),
    brief: "Pass matching hosts through; repeatable",
    more: "Takes precedence over -d. Also leaves out single exchanges with a matching host on connections that are captured.",
};

pub(crate) static INSECURE: Opt = Opt {
    short: Some('k'),
    long: "insecure",
    value: ValueKind::None,
    brief: "Accept any certificate from origins",
    more: "This includes expired, old (X.509 version 1) and weak ones. Without this option, traffic to origins with an untrusted \
           certificate is passed through, and the app verifies the certificate itself; a request for an https:// URL without a tunnel (GET https://HOST/) gets a 502.",
};

pub(crate) static UPSTREAM_CA: Opt = Opt {
    short: None,
    long: "upstream-ca",
    value: ValueKind::File,
    brief: "Also trust the certificates in FILE (PEM) for origins; repeatable",
    more: "For CAs, and for an origin's own certificate, self-signed or not. Keys must be RSA of 2048 to 8192 bits, P-256, \
           P-384 or Ed25519.",
};

pub(crate) static UPSTREAM_PROXY: Opt = Opt {
    short: None,
    long: "upstream-proxy",
    value: ValueKind::Text("URL"),
    brief: "Reach origins through this proxy [default: HTTPS_PROXY and others]",
    more: "http://, socks5:// or socks5h://, with USER:PASSWORD@ if it needs them. By default, the variables HTTPS_PROXY, HTTP_PROXY and \
           ALL_PROXY name it, in both cases. Hosts in NO_PROXY, loopback addresses and localhost are reached directly. Names of other hosts are resolved \
           by the proxy.",
};

pub(crate) static UPSTREAM_AUTH_FILE: Opt = Opt {
    short: None,
    long: "upstream-auth-file",
    value: ValueKind::File,
    brief: "Read USER:PASSWORD for the upstream proxy from FILE",
    more: "Also from the variable SPECTRAL_UPSTREAM_AUTH. Both take precedence over those in the URL. Every user of the machine can \
           read a command line.",
};

pub(crate) static NO_UPSTREAM_PROXY: Opt = Opt {
    short: None,
    long: "no-upstream-proxy",
    value: ValueKind::None,
    brief: "Reach origins directly, whatever the environment variables say",
    more: "",
};

pub(crate) static CLIENT_CERT: Opt = Opt {
    short: None,
    long: "client-cert",
    value: ValueKind::Text("[HOST=]FILE"),
    brief: "Present this certificate to origins that request one; repeatable",
    more: "Origins that request a client certificate are then captured instead of passed through. FILE is PEM with the \
           certificate, its chain and its private key. HOST is a pattern as for -d; without it, every origin that requests a \
           certificate gets this one, and learns who you are. All users of the proxy act with the certificate: --listen with \
           an address that others can reach needs a password. If the name of FILE contains =, write ./FILE.",
};

pub(crate) static KEYLOG: Opt = Opt {
    short: None,
    long: "keylog",
    value: ValueKind::File,
    brief: "Append TLS secrets to FILE, for Wireshark [default: $SSLKEYLOGFILE]",
    more: "Those of captured connections, with clients and with origins. Anyone who can read the file can decrypt \
           the traffic.",
};

pub(crate) static PASSTHROUGH_REFUSED: Opt = Opt {
    short: None,
    long: "passthrough-refused",
    value: ValueKind::None,
    brief: "Pass an app's connections through once it refuses the certificate",
    more: "The app's first connection to a host fails, rarely also the second; later ones pass through until the capture \
           ends. Apps that begin TLS in another way are still captured.",
};

pub(crate) static NO_PASSTHROUGH_REFUSED: Opt = Opt {
    long: "no-passthrough-refused",
    brief: "Let connections fail whenever an app refuses the certificate",
    more: "By default, only the app's first connection to a host fails, rarely also the second; later ones pass through. \
           Apps that begin TLS in another way are still captured. With -e HOST, not even the first one fails.",
    ..PASSTHROUGH_REFUSED
};

pub(crate) static MEMORY: Opt = Opt {
    short: None,
    long: "memory",
    value: ValueKind::Text("SIZE"),
    brief: "Memory limit for captured data [default: 64M]",
    more: "From 1M to 1T. The process takes up to 16 MB more, and 40 KB per open connection. Bodies that do not fit, and those above 2M, \
           go to a temporary file beside the bundle. K, M, G and T are powers of 1024.",
};

pub(crate) static MAX_BODY: Opt = Opt {
    short: None,
    long: "max-body",
    value: ValueKind::Text("SIZE"),
    brief: "Decode bodies up to this size [default: 1G]",
    more: "From 1K to 1T. A larger body, or one that is compressed implausibly well, is kept as received.",
};

pub(crate) static CA_DIR: Opt = Opt {
    short: None,
    long: "ca-dir",
    value: ValueKind::Directory,
    brief: "Directory of the CA [default: ~/.mitmproxy]",
    more: "The files are laid out as mitmproxy's.",
};

pub(crate) static TRACE: Opt = Opt {
    short: None,
    long: "trace",
    value: ValueKind::Text("ID"),
    brief: "Only this exchange, such as t_0001",
    more: "",
};

pub(crate) static WS: Opt = Opt {
    short: None,
    long: "ws",
    value: ValueKind::Text("ID"),
    brief: "Only the messages of this WebSocket, such as ws_0001",
    more: "",
};

pub(crate) static BODY: Opt = Opt {
    short: None,
    long: "body",
    value: ValueKind::Text("ID [request|response]"),
    brief: "Only the bytes of this body [default: response]",
    more: "ID is an exchange (t_0001) or a WebSocket message (ws_0001_m001). Bytes that would control a terminal are not \
           written to one.",
};

pub(crate) static EXCHANGES_AS_JSON: Opt = Opt {
    short: None,
    long: "json",
    value: ValueKind::None,
    brief: "Print a line of JSON for each exchange, WebSocket or message",
    more: "Members have the bundle's names. An exchange always has cut_off, null if nothing was cut off. Added are type \
           (\"websocket\") and is_closed for a WebSocket, and text or base64 for a message. is_closed is false if a WebSocket \
           has no close frame, null if that is not known.",
};

pub(crate) static FOLLOW: Opt = Opt {
    short: None,
    long: "follow",
    value: ValueKind::None,
    brief: "Print new exchanges until the capture ends",
    more: "With --ws, new messages until that WebSocket ends.",
};

pub(crate) static HOST: Opt = Opt {
    short: None,
    long: "host",
    value: ValueKind::Text("PATTERN"),
    brief: "Only matching hosts, such as *.example.com; repeatable",
    more: "Of several values of one option, one must match. Of several options, all must match. In a new bundle or an export, a \
           WebSocket comes with its handshake's exchange, if either matches.",
};

pub(crate) static METHOD: Opt = Opt {
    short: None,
    long: "method",
    value: ValueKind::Text("METHOD"),
    brief: "Only this method, ignoring case; repeatable",
    more: "",
};

pub(crate) static STATUS: Opt = Opt {
    short: None,
    long: "status",
    value: ValueKind::Text("STATUS"),
    brief: "Only this status, such as 404, 4xx or 200-299; repeatable",
    more: "0 selects exchanges without a response, grpc:5 or grpc:NOT_FOUND that status of gRPC calls, grpc:1-16 all failed ones.",
};

pub(crate) static TYPE: Opt = Opt {
    short: None,
    long: "type",
    value: ValueKind::Text("TYPE"),
    brief: "Only responses of this type, as json or text/*; repeatable",
    more: "A word without / matches a part of the type: json also matches application/problem+json, image matches image/png.",
};

pub(crate) static SINCE: Opt = Opt {
    short: None,
    long: "since",
    value: ValueKind::Text("TIME"),
    brief: "Only those that started at TIME or later, such as 10m or 15:30",
    more: "2026-11-30, '2026-11-30 15:30', 2026-11-30T15:30:10.5+01:00, 15:30:10 (today), today, yesterday, now, @1795338429 (Unix \
           time), or a time before now: 30s, 10m, 2h, 1d. Without an offset, times are UTC, as in lists.",
};

pub(crate) static UNTIL: Opt = Opt {
    short: None,
    long: "until",
    value: ValueKind::Text("TIME"),
    brief: "Only those that started before TIME",
    more: "",
};

pub(crate) static ANSWERED: Opt =
    Opt { short: None, long: "answered", value: ValueKind::None, brief: "Only exchanges with a response", more: "" };

pub(crate) static GREP: Opt = Opt {
    short: None,
    long: "grep",
    value: ValueKind::Text("TEXT"),
    brief: "Only with this text, ignoring case; repeatable",
    more: "Searches URLs, headers, textual bodies and the text messages of WebSockets.",
};

pub(crate) static EXPORT_FORMAT: Opt = Opt {
    short: None,
    long: "format",
    value: ValueKind::OneOf(&["har", "curl", "html", "openapi"]),
    brief: "Format to write",
    more: "",
};

pub(crate) static EXAMPLES: Opt = Opt {
    short: None,
    long: "examples",
    value: ValueKind::None,
    brief: "Add enumerations and example values to OpenAPI",
    more: "Without it, the document has names and shapes, and no values of the capture. Secrets are never added.",
};

pub(crate) static SINCE_DOCUMENT: Opt = Opt {
    short: None,
    long: "since-document",
    value: ValueKind::File,
    brief: "Compare with this OpenAPI document; exit with 1 if it differs",
    more: "Lists on stderr the operations, statuses, parameters, media types, members and types that are new, gone or changed \
           since FILE, which is OpenAPI 3 as JSON of up to 32M. Gone means that the capture does not have it. FILE may also be \
           the output: it is read first.",
};

pub(crate) static REPORT_SIZE: Opt = Opt {
    short: None,
    long: "max-size",
    value: ValueKind::Text("SIZE"),
    brief: "Largest size of an HTML report [default: 50M]",
    more: "From 1M to 1G. Bodies that do not fit are left out, then heads, then rows; all are reported.",
};

pub(crate) static REPORT_BODY: Opt = Opt {
    value: ValueKind::Text("SIZE"),
    brief: "Largest body in an HTML report [default: 1M]",
    more: "From 1K to 16M. Of a larger one, the report has the beginning.",
    ..MAX_BODY
};

pub(crate) static CERTIFICATE_FORMAT: Opt = Opt {
    value: ValueKind::OneOf(&["pem", "der", "p12", "mobileconfig"]),
    brief: "Format to write [default: pem]",
    more: "der and p12 (its password is changeit) are for Java and Windows, mobileconfig for Apple's systems.",
    ..EXPORT_FORMAT
};

pub(crate) static NAME: Opt = Opt {
    short: None,
    long: "name",
    value: ValueKind::Text("NAME"),
    brief: "Also redact values with this name, anywhere; repeatable",
    more: "In headers, cookies, URLs, forms, JSON, XML and arguments of GraphQL. Case and separators are ignored: user-id is \
           userId, USER_ID and user[id].",
};

pub(crate) static REDACT: Opt = Opt {
    short: None,
    long: "redact",
    value: ValueKind::None,
    brief: "Replace secrets, as 'spectral capture redact' does",
    more: "Bodies that cannot be searched are left out. Look through the output before you share it.",
};

pub(crate) static REDACTED_NAME: Opt =
    Opt { brief: "With --redact, also redact values with this name; repeatable", ..NAME };

pub(crate) static ONLY_NAMED: Opt = Opt {
    short: None,
    long: "only-named",
    value: ValueKind::None,
    brief: "Redact only the names given, not the usual ones",
    more: "Values with the form of a secret are still replaced.",
};

pub(crate) static HEADER: Opt = Opt {
    short: None,
    long: "header",
    value: ValueKind::Text("NAME"),
    brief: "Also redact this header; repeatable",
    more: "",
};

pub(crate) static QUERY: Opt = Opt {
    short: None,
    long: "query",
    value: ValueKind::Text("NAME"),
    brief: "Also redact this parameter of URLs and forms; repeatable",
    more: "",
};

pub(crate) static JSON_MEMBER: Opt = Opt {
    short: None,
    long: "json",
    value: ValueKind::Text("NAME"),
    brief: "Also redact this member of JSON and forms; repeatable",
    more: "",
};

pub(crate) static KEEP_UNSEARCHED: Opt = Opt {
    short: None,
    long: "keep-unsearched",
    value: ValueKind::None,
    brief: "Keep bodies and messages that cannot be searched",
    more: "By default they are left out: bodies that could not be decoded, text in an unknown character set, and lines or JSON \
           strings of more than 4 MiB.",
};

pub(crate) static CHECK: Opt = Opt {
    short: None,
    long: "check",
    value: ValueKind::None,
    brief: "Write nothing; exit with 1 if FILE has values like secrets",
    more: "Lists their names and numbers. Placeholders do not count.",
};

pub(crate) static SHELL: Opt = Opt {
    short: None,
    long: "shell",
    value: ValueKind::OneOf(&["sh", "fish", "powershell"]),
    brief: "Shell to print for [default: sh]",
    more: "",
};

pub(crate) static ENV_FORMAT: Opt = Opt {
    value: ValueKind::OneOf(&["shell", "env"]),
    brief: "Commands for a shell, or NAME=VALUE lines [default: shell]",
    more: "env is for 'docker run --env-file', for EnvironmentFile= of systemd and for Kubernetes.",
    ..EXPORT_FORMAT
};

pub(crate) static TRUST_DIR: Opt = Opt {
    short: None,
    long: "trust-dir",
    value: ValueKind::Directory,
    brief: "Directory for the certificate files [default: the CA's]",
    more: "Other users and containers may read these files. They contain no secret; the CA's directory contains its key.",
};

pub(crate) static UNSET: Opt =
    Opt { short: None, long: "unset", value: ValueKind::None, brief: "Print commands that undo the change", more: "" };

pub(crate) static DRY_RUN: Opt = Opt {
    short: None,
    long: "dry-run",
    value: ValueKind::None,
    brief: "Print the commands without running them",
    more: "",
};
