//! Every command and option, once. The parser, the help texts, the man page and the completions all read this table.
//!
//! ```text
//!             ┌─▶ args::parser   accepts a command line, finds typing errors
//! SPECTRAL ───┼─▶ help           -h, --help, spectral man
//!             └─▶ completions    spectral completions bash|zsh|fish
//! ```
//!
//! To add an option:
//!
//! 1. Declare it in `options.rs`. If its text differs in a command, declare a variant: `Opt { brief: …, ..PORT }`.
//! 2. List it in `options` of each command that takes it. Help texts list options in this order.
//! 3. Read it in the command's reader in `args/`, by its name there: `args.has(&DRY_RUN)`, `args.text(&MEMORY)?`. A
//!    variant may be read by the name of its base: both have the same long name.
//!
//! The tests in `help/tests.rs` fail if an option is listed and not read, or is missing from a help text, the man page
//! or a completion script.
//!
//! A text is one line (`brief`) and the paragraphs after it (`more`), which only --help and the man page show. An empty
//! line separates paragraphs. Lines that begin with four spaces are examples and are not wrapped.

use options::*;

pub(crate) mod options;

/// A command, or a group of commands.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// The arguments in the usage line; optional ones are in brackets.
    pub(crate) usage: &'static str,
    pub(crate) brief: &'static str,
    pub(crate) more: &'static str,
    pub(crate) operands: Operands,
    /// All options except [`COMMON`].
    pub(crate) options: &'static [&'static Opt],
}

/// The arguments of a command that are not options.
#[derive(Debug)]
pub(crate) enum Operands {
    None,
    One(ValueKind),
    Many(ValueKind),
    /// A program and its arguments, up to the end of the line.
    Program,
    Subcommand(&'static [Command]),
}

/// An option. Its long name identifies it within a command.
#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) short: Option<char>,
    pub(crate) long: &'static str,
    pub(crate) value: ValueKind,
    pub(crate) brief: &'static str,
    pub(crate) more: &'static str,
}

/// The kind of an option's value or of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    None,
    File,
    Directory,
    OneOf(&'static [&'static str]),
    /// The same, or no value. The value is attached: `--transparent=by-name`.
    MayBeOneOf(&'static [&'static str]),
    /// A text with this name, such as `PORT`.
    Text(&'static str),
    /// The words of a command of this program.
    Command,
}

impl Command {
    /// The options, [`COMMON`] last.
    pub(crate) fn options(&self) -> Vec<&'static Opt> {
        [self.options, COMMON].concat()
    }

    /// The commands of a group; empty for a command.
    pub(crate) fn subcommands(&self) -> &'static [Command] {
        if let Operands::Subcommand(commands) = self.operands { commands } else { &[] }
    }

    pub(crate) fn subcommand(&self, name: &str) -> Option<&'static Command> {
        self.subcommands().iter().find(|command| command.name == name)
    }
}

impl Opt {
    /// True if a value follows, in the same word or in the next one.
    pub(crate) fn takes_value(&self) -> bool {
        !matches!(self.value, ValueKind::None | ValueKind::MayBeOneOf(_))
    }

    /// Returns `-o`, if there is a short name, and `--output`.
    pub(crate) fn names(&self) -> Vec<String> {
        let short = self.short.map(|short| String::from_iter(['-', short]));
        short.into_iter().chain([["--", self.long].concat()]).collect()
    }

    /// Returns `-o` or, for an option without a short name, `--output`.
    pub(crate) fn name(&self) -> String {
        self.names().swap_remove(0)
    }

    /// Returns `-o, --output FILE`, long names aligned.
    pub(crate) fn signature(&self) -> String {
        let mut text = String::from("    ");
        if let Some(short) = self.short {
            text = String::from_iter(['-', short, ',', ' ']);
        }
        text.extend(["--", self.long]);
        if self.takes_value() {
            text.push(' ');
            text.push_str(&self.value.name());
        }
        if let ValueKind::MayBeOneOf(words) = self.value {
            text.extend(["[=", &words.join("|"), "]"]);
        }
        text
    }
}

impl ValueKind {
    /// The name in usage lines: `FILE`, or `har|curl`.
    pub(crate) fn name(self) -> String {
        match self {
            Self::None => String::new(),
            Self::File => "FILE".into(),
            Self::Directory => "DIR".into(),
            Self::Command => "COMMAND".into(),
            Self::OneOf(words) | Self::MayBeOneOf(words) => words.join("|"),
            Self::Text(name) => name.into(),
        }
    }

    /// True for the path of a file or directory.
    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::File | Self::Directory)
    }

    /// The values that are allowed; empty if they cannot be listed.
    pub(crate) fn words(self) -> &'static [&'static str] {
        if let Self::OneOf(words) | Self::MayBeOneOf(words) = self { words } else { &[] }
    }
}

/// Returns all commands and groups below `group` with their names: `run` or, from the program, `capture run`.
pub(crate) fn below(group: &'static Command) -> Vec<(String, &'static Command)> {
    let mut found = Vec::new();
    for command in group.subcommands() {
        found.push((command.name.into(), command));
        found.extend(below(command).into_iter().map(|(name, inner)| ([command.name, " ", &name].concat(), inner)));
    }
    found
}

/// The beginning of lines that are not wrapped.
pub(crate) const EXAMPLE: &str = "    ";

/// The program.
pub(crate) static SPECTRAL: Command = Command {
    name: "spectral",
    usage: "COMMAND",
    brief: "Record an app's HTTP, HTTPS and WebSocket traffic",
    more: "",
    operands: Operands::Subcommand(&[
        Command {
            name: "capture",
            usage: "SUBCOMMAND",
            brief: "Capture traffic, and read and edit bundles",
            more: "",
            operands: Operands::Subcommand(CAPTURE),
            options: &[],
        },
        Command {
            name: "ca",
            usage: "SUBCOMMAND",
            brief: "Make apps trust the CA that signs the proxy's certificates",
            more: "",
            operands: Operands::Subcommand(CA),
            options: &[&CA_DIR],
        },
        Command {
            name: "completions",
            usage: "SHELL",
            brief: "Print completions for bash, zsh or fish",
            more: "    source <(spectral completions bash)\
                   \n    spectral completions zsh > \"${fpath[1]}/_spectral\"\
                   \n    spectral completions fish > ~/.config/fish/completions/spectral.fish",
            operands: Operands::One(ValueKind::OneOf(&["bash", "zsh", "fish"])),
            options: &[],
        },
        Command {
            name: "man",
            usage: "",
            brief: "Print the man page",
            more: "    spectral man > ~/.local/share/man/man1/spectral.1",
            operands: Operands::None,
            options: &[],
        },
        Command {
            name: "help",
            usage: "[COMMAND]",
            brief: "Print the help of a command, in detail",
            more: "    spectral help capture proxy",
            operands: Operands::Many(ValueKind::Command),
            options: &[],
        },
    ]),
    options: &[],
};

const CAPTURE: &[Command] = &[
    Command {
        name: "run",
        usage: "[OPTIONS] -- COMMAND [ARG...]",
        brief: "Run a command and capture its traffic",
        more: "Starts a proxy on a free port, and the command with environment variables that make it use the proxy and trust \
               its CA. When the command exits, the bundle is written, and spectral exits with its exit code. The command \
               keeps its streams and signals.\n\
               \n    spectral capture run -- curl https://api.example.com/users\
               \n    spectral capture run -o tests.zip -d '*.example.com' -- npm test\
               \n    spectral capture run --all -- ./app\n\
               \nWorks with programs that read these variables: curl, wget, git, cargo, pip, npm, apt-get, Python (urllib, \
               requests, httpx; aiohttp with trust_env=True), Node, PHP (curl), Perl (LWP), Go (except for localhost), Java, Ruby, \
               Deno and others. --all captures programs that read none of them. Background processes of the command are captured \
               until the command exits.\n\
               \nThe variables name the proxy (HTTP_PROXY, HTTPS_PROXY and others; NO_PROXY and ALL_PROXY are unset), root \
               certificates (SSL_CERT_FILE, CURL_CA_BUNDLE and others), and settings that add these to the command's own \
               (NODE_OPTIONS, JAVA_TOOL_OPTIONS, PHP_INI_SCAN_DIR, APT_CONFIG, WGETRC, WGET2RC). A proxy configured in the \
               environment becomes the upstream proxy. SPECTRAL_PROXY is the URL of Spectral's own.",
        operands: Operands::Program,
        options: &[
            &ALL,
            &RUN_PORT,
            &RUN_LISTEN,
            &OUTPUT,
            &KEEP_BACKUPS,
            &DOMAIN,
            &EXCLUDE,
            &INSECURE,
            &UPSTREAM_CA,
            &UPSTREAM_PROXY,
            &UPSTREAM_AUTH_FILE,
            &NO_UPSTREAM_PROXY,
            &CLIENT_CERT,
            &NO_PASSTHROUGH_REFUSED,
            &ROTATE,
            &KEEP,
            &MEMORY,
            &MAX_BODY,
            &CA_DIR,
            &KEYLOG,
            &VERBOSE,
            &QUIET,
        ],
    },
    Command {
        name: "proxy",
        usage: "[OPTIONS]",
        brief: "Capture the traffic of a proxy until Ctrl+C",
        more: "Starts a proxy for programs that use HTTP_PROXY and HTTPS_PROXY, or SOCKS5 on the same port. Stops on Ctrl+C, SIGTERM or SIGHUP, and \
               completes the bundle, a ZIP file. SIGUSR1 prints a summary so far.\n\
               \n    spectral capture proxy -p 8080 -o capture.zip -d '*.example.com'\
               \n    HTTPS_PROXY=http://127.0.0.1:8080 curl --cacert \\\
               \n        ~/.mitmproxy/mitmproxy-ca-cert.pem https://api.example.com/users",
        operands: Operands::None,
        options: &[
            &PORT,
            &LISTEN,
            &AUTH_FILE,
            &OUTPUT,
            &KEEP_BACKUPS,
            &DOMAIN,
            &EXCLUDE,
            &INSECURE,
            &UPSTREAM_CA,
            &UPSTREAM_PROXY,
            &UPSTREAM_AUTH_FILE,
            &NO_UPSTREAM_PROXY,
            &CLIENT_CERT,
            &PASSTHROUGH_REFUSED,
            &TRANSPARENT,
            &ROTATE,
            &KEEP,
            &STOP_AFTER,
            &MEMORY,
            &MAX_BODY,
            &CA_DIR,
            &KEYLOG,
            &LOG_EVERY,
            &VERBOSE,
            &PROXY_QUIET,
        ],
    },
    Command {
        name: "discover",
        usage: "[OPTIONS] [--all -- COMMAND [ARG...]]",
        brief: "List the domains an app connects to, without decrypting",
        more: "Passes all traffic through and lists domains with their connections, plain requests and bytes. The last line \
               has -d options to capture them with. SIGUSR1 prints the domains so far to stderr. Needs no certificate. A domain is marked if TLS had no \
               server name: it is then known from a CONNECT or SOCKS request, or is the address of a redirected connection.\n\
               \n    spectral capture discover -p 8080\
               \n    spectral capture discover --all -- ./app",
        operands: Operands::Program,
        options: &[
            &DISCOVER_ALL,
            &PORT,
            &LISTEN,
            &AUTH_FILE,
            &INSECURE,
            &UPSTREAM_CA,
            &UPSTREAM_PROXY,
            &UPSTREAM_AUTH_FILE,
            &NO_UPSTREAM_PROXY,
            &TRANSPARENT,
            &STOP_AFTER_TIME,
            &DOMAINS_FILE,
            &DOMAINS_AS_JSON,
            &LOG_EVERY,
            &PROXY_QUIET,
        ],
    },
    Command {
        name: "inspect",
        usage: "[OPTIONS] FILE",
        brief: "Show the exchanges and WebSockets of a bundle",
        more: "Prints a line for each exchange and WebSocket, or one of them in full. Also reads a running capture, as far as \
               it is written.\n\
               \n    spectral capture inspect capture.zip --host '*.example.com' --status 5xx\
               \n    spectral capture inspect capture.zip --json | jq -r .request.url",
        // One file. `request` or `response` after `--body ID` is an operand for the parser, too.
        operands: Operands::Many(ValueKind::File),
        options: &[
            &TRACE,
            &WS,
            &BODY,
            &HOST,
            &METHOD,
            &STATUS,
            &TYPE,
            &GREP,
            &SINCE,
            &UNTIL,
            &ANSWERED,
            &EXCHANGES_AS_JSON,
            &FOLLOW,
            &NO_PROGRESS,
        ],
    },
    Command {
        name: "export",
        usage: "[OPTIONS] FILE --format har|curl|html|openapi",
        brief: "Export as HAR, curl commands, an HTML report or OpenAPI",
        more: "HAR 1.2 is read by browsers' developer tools and others. The curl commands replay the requests. The HTML report is one \
               file that shows the capture in any browser, without a network. OpenAPI 3.1 describes the API that was called: \
               operations, parameters, and the shapes of bodies.\n\
               \n    spectral capture export capture.zip --format openapi -o api.json\
               \n    spectral capture export capture.zip --format openapi --since-document api.json -o now.json",
        operands: Operands::One(ValueKind::File),
        options: &[
            &EXPORT_FORMAT,
            &OUTPUT_OR_STDOUT,
            &EXAMPLES,
            &SINCE_DOCUMENT,
            &REPORT_SIZE,
            &REPORT_BODY,
            &REDACT,
            &REDACTED_NAME,
            &TRACE,
            &HOST,
            &METHOD,
            &STATUS,
            &TYPE,
            &GREP,
            &SINCE,
            &UNTIL,
            &ANSWERED,
            &NO_PROGRESS,
        ],
    },
    Command {
        name: "merge",
        usage: "[OPTIONS] FILE... -o FILE",
        brief: "Merge bundles into one",
        more: "Parts of one capture, made with --rotate, keep their IDs, and each item is taken once. If there are several \
               captures, IDs get the number of theirs: t_0001 of the second becomes t_002_0001. Of a single FILE, a part is copied.\n\
               \n    spectral capture merge capture.zip -o errors.zip --host '*.example.com' --status 5xx",
        operands: Operands::Many(ValueKind::File),
        options: &[
            &NEW_BUNDLE,
            &KEEP_BACKUPS,
            &HOST,
            &METHOD,
            &STATUS,
            &TYPE,
            &GREP,
            &SINCE,
            &UNTIL,
            &ANSWERED,
            &NO_PROGRESS,
        ],
    },
    Command {
        name: "redact",
        usage: "[OPTIONS] FILE -o FILE",
        brief: "Write a copy of a bundle without its secrets",
        more: "Replaces credentials, cookies, tokens, keys, passwords and sessions by placeholders, found by their usual names and \
               forms, and each value of eight bytes or more wherever else it stands. The same value always gets the same \
               placeholder. Prints what was replaced, and what remains: look through the new bundle before you share it.\n\
               \n    spectral capture redact capture.zip -o shared.zip --name customer_id\
               \n    spectral capture redact --check shared.zip",
        operands: Operands::One(ValueKind::File),
        options: &[
            &NEW_BUNDLE,
            &NAME,
            &ONLY_NAMED,
            &HEADER,
            &QUERY,
            &JSON_MEMBER,
            &KEEP_UNSEARCHED,
            &CHECK,
            &KEEP_BACKUPS,
            &HOST,
            &METHOD,
            &STATUS,
            &TYPE,
            &GREP,
            &SINCE,
            &UNTIL,
            &ANSWERED,
            &NO_PROGRESS,
        ],
    },
    Command {
        name: "recover",
        usage: "[OPTIONS] FILE.zip.part",
        brief: "Make a bundle from an interrupted capture",
        more: "A running capture writes to FILE.zip.part. After a crash, kill -9 or a full disk, this command writes every \
               exchange and message that had ended to FILE.zip. An existing FILE.zip is kept as FILE.zip.bak. \
               FILE.zip.part is not changed.",
        operands: Operands::One(ValueKind::File),
        options: &[&RECOVERED_BUNDLE, &KEEP_BACKUPS, &NO_PROGRESS],
    },
];

const CA: &[Command] = &[
    Command {
        name: "path",
        usage: "[OPTIONS]",
        brief: "Print the path of the CA certificate",
        more: "",
        operands: Operands::None,
        options: &[&CA_DIR],
    },
    Command {
        name: "show",
        usage: "[OPTIONS]",
        brief: "Show the CA certificate",
        more: "",
        operands: Operands::None,
        options: &[&CA_DIR],
    },
    Command {
        name: "export",
        usage: "[OPTIONS]",
        brief: "Export the CA certificate",
        more: "The private key is never exported.",
        operands: Operands::None,
        options: &[&CERTIFICATE_FORMAT, &OUTPUT_OR_STDOUT, &CA_DIR],
    },
    Command {
        name: "env",
        usage: "[OPTIONS]",
        brief: "Print variables that make programs use the proxy",
        more: "The commands set the environment variables of 'capture run' in a shell.\n\
               \n    spectral capture proxy &\
               \n    eval \"$(spectral ca env)\"",
        operands: Operands::None,
        options: &[&PROXY_PORT, &PROXY_ADDRESS, &SHELL, &ENV_FORMAT, &TRUST_DIR, &UNSET, &CA_DIR],
    },
    Command {
        name: "install",
        usage: "[OPTIONS]",
        brief: "Add the CA certificate to the system's trust store",
        more: "Supports Debian, Alpine, Fedora, Arch, SUSE and macOS. Prints each command before it runs it. Without root, \
               prints the commands to run.",
        operands: Operands::None,
        options: &[&DRY_RUN, &CA_DIR],
    },
    Command {
        name: "uninstall",
        usage: "[OPTIONS]",
        brief: "Remove the CA certificate from the system's trust store",
        more: "",
        operands: Operands::None,
        options: &[&DRY_RUN, &CA_DIR],
    },
    Command {
        name: "help",
        usage: "[OPTIONS] PLATFORM",
        brief: "Print the steps for firefox, chrome, ios, android, java or wsl",
        more: "They make the platform trust the CA and use the proxy. For apparmor, prints a profile with which 'capture run --all' needs \
               no root on Ubuntu.",
        operands: Operands::One(ValueKind::OneOf(&["firefox", "chrome", "ios", "android", "java", "wsl", "apparmor"])),
        options: &[&PROXY_PORT, &PROXY_ADDRESS, &CA_DIR],
    },
];

/// The meaning of exit codes.
pub(crate) const EXIT_CODES: &str = "0: success. 1: the command failed, the bundle is incomplete, or nothing was captured and an earlier \
    bundle was kept. 2: usage error.\n\
    \ncapture run exits with its command's exit code: 128 plus the signal's number if a signal ended the command, 127 if it \
    was not found, 126 if it cannot be executed. If the command succeeded but the capture did not, the exit code is 1.";
