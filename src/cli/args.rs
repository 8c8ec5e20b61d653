//! The command line, parsed. What names `lexopt` is here and below.

use super::ca::Request;
use super::{export, help, inspect};
use help::Length;
use help::completions::Shell;
use lexopt::prelude::*;
use spectral_capture::redact::Rules;
use spectral_capture::{Config, Mode, Pattern};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

mod bundles;
mod ca;
mod size;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A help text, the version, a man page, a shell's completions.
    Print(String),
    /// Help on a command, whose words these are, or on all.
    Help(Vec<String>, Length),
    /// `capture proxy` or `capture discover`.
    Capture(Options),
    /// `capture run`.
    Run {
        /// How to capture.
        options: Options,
        /// A program and its arguments.
        command: Vec<OsString>,
    },
    /// `ca`.
    Ca(Request),
    /// `capture inspect`.
    Inspect(inspect::Options),
    /// `capture export`.
    Export(export::Options),
    /// `capture merge`.
    Merge {
        /// The bundles, in the order of their numbers.
        bundles: Vec<PathBuf>,
        /// The bundle to make of them.
        output: PathBuf,
    },
    /// `capture redact`.
    Redact {
        /// The bundle.
        file: PathBuf,
        /// The one to show to others.
        output: PathBuf,
        rules: Rules,
    },
    /// `capture recover`.
    Recover {
        /// What a capture left.
        part: PathBuf,
        /// The bundle to make of it.
        output: Option<PathBuf>,
    },
}

/// How to capture.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) quiet: bool,
    /// Shows a line per exchange.
    pub(crate) verbose: bool,
    /// Shows what was discovered as JSON.
    pub(crate) json: bool,
}

/// Reads a command line, the program's own name first.
///
/// # Errors
/// One line that says what makes no sense.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut path = Vec::new();
    let command = command(lexopt::Parser::from_iter(args), &mut path)?;
    Ok(match command {
        // Whoever reads options does not know whose they are.
        Command::Help(_, length) => Command::Help(path, length),
        other => other,
    })
}

/// The command that is called by the words in `path`, once it has found them.
fn command(mut parser: lexopt::Parser, path: &mut Vec<String>) -> Result<Command, String> {
    while path.len() < 2 {
        match parser.next().map_err(said)? {
            Some(Value(word)) => path.push(word.string().map_err(said)?),
            None if path.is_empty() => return Err(format!("a command is missing: {TRY}")),
            None => return Err(format!("capture how? {}; {TRY}", help::listed_under("capture"))),
            Some(other) => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["capture"]
            | ["capture", "proxy" | "run" | "discover" | "inspect" | "export" | "merge" | "redact" | "recover"] => {}
            ["ca"] => return ca::parse(parser),
            ["completions"] => return completions(parser),
            ["man"] => return man(parser),
            ["help"] => {
                path.clear();
                return Ok(Command::Help(Vec::new(), Length::Long));
            }
            _ => return Err(no_command(&path.join(" "))),
        }
    }
    match path.last().map(String::as_str) {
        Some("inspect") => bundles::inspect(parser),
        Some("export") => bundles::export(parser),
        Some("merge") => bundles::merge(parser),
        Some("redact") => bundles::redact(parser),
        Some("recover") => recover(parser),
        Some("discover") => capture(parser, Config::discover()),
        Some("run") => run(parser),
        _ => capture(parser, Config::capture("capture.zip")),
    }
}

fn capture(parser: lexopt::Parser, config: Config) -> Result<Command, String> {
    options(parser, config, None)
}

fn run(parser: lexopt::Parser) -> Result<Command, String> {
    let mut config = Config::capture("capture.zip");
    config.listen.set_port(0);
    options(parser, config, Some(Vec::new()))
}

/// The options of all kinds of capture; where there is a `command` to run, it follows them.
fn options(
    mut parser: lexopt::Parser,
    mut config: Config,
    mut command: Option<Vec<OsString>>,
) -> Result<Command, String> {
    let (discover, run) = (config.mode == Mode::Discover, command.is_some());
    let (mut quiet, mut verbose, mut json) = (false, false, false);
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Short('p') | Long("port") => config.listen.set_port(port(&mut parser)?),
            Long("listen") => {
                let text = value(&mut parser, "--listen")?;
                config.listen = listen_address(&text, config.listen.port())?;
            }
            Short('q') | Long("quiet") => quiet = true,
            Short('v') | Long("verbose") if !discover => verbose = true,
            Long("json") if discover => json = true,
            Long("transparent") if !run => config.transparent = true,
            Short('o') | Long("output") if !discover => {
                config.mode = Mode::Capture { output: parser.value().map_err(said)?.into() };
            }
            Short('d') | Long("domain") if !discover => config.include.push(pattern(&mut parser, "-d")?),
            Short('e') | Long("exclude") if !discover => config.exclude.push(pattern(&mut parser, "-e")?),
            Short('k') | Long("insecure") if !discover => config.insecure = true,
            Long("passthrough-refused") if !discover => config.passthrough_refused = true,
            Long("upstream-ca") if !discover => config.upstream_ca.push(parser.value().map_err(said)?.into()),
            Long("memory") if !discover => config.memory = size::parse(&value(&mut parser, "--memory")?)?,
            Long("max-body") if !discover => config.max_body = size::parse(&value(&mut parser, "--max-body")?)?,
            Long("ca-dir") if !discover => config.ca_dir = Some(parser.value().map_err(said)?.into()),
            Value(program) if let Some(command) = &mut command => {
                // What follows is the command's own, whatever it looks like.
                command.push(program);
                command.extend(parser.raw_args().map_err(said)?);
            }
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let options = Options { config, quiet, verbose, json };
    match command {
        None => Ok(Command::Capture(options)),
        Some(command) if command.is_empty() => {
            Err(format!("what is to be run? spectral capture run -- COMMAND; {TRY}"))
        }
        Some(command) => Ok(Command::Run { options, command }),
    }
}

fn recover(mut parser: lexopt::Parser) -> Result<Command, String> {
    let (mut part, mut output) = (None, None);
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Short('o') | Long("output") => output = Some(parser.value().map_err(said)?.into()),
            Value(path) if part.is_none() => part = Some(PathBuf::from(path)),
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let part = part.ok_or_else(|| format!("which file? spectral capture recover FILE.zip.part; {TRY}"))?;
    Ok(Command::Recover { part, output })
}

fn completions(mut parser: lexopt::Parser) -> Result<Command, String> {
    let mut shell = None;
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Value(word) if shell.is_none() => {
                let name = word.string().map_err(said)?;
                let known = Shell::from_name(&name);
                shell = Some(known.ok_or_else(|| format!("'{name}' is no shell: give bash, zsh or fish"))?);
            }
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let shell = shell.ok_or_else(|| format!("which shell? spectral completions bash, zsh or fish; {TRY}"))?;
    Ok(Command::Print(shell.script()))
}

fn man(mut parser: lexopt::Parser) -> Result<Command, String> {
    match parser.next().map_err(said)? {
        None => Ok(Command::Print(help::man::page())),
        Some(arg) => common(arg)?.ok_or_else(|| TRY.into()),
    }
}

/// What to say of a command that there is not.
pub(super) fn no_command(words: &str) -> String {
    match help::nearest_command(words) {
        Some(meant) => format!("there is no command '{words}', but '{meant}': {TRY}"),
        None => format!("there is no command '{words}': {TRY}"),
    }
}

/// Options that every command has.
pub(super) fn common(arg: lexopt::Arg<'_>) -> Result<Option<Command>, String> {
    match arg {
        Short('h') => Ok(Some(Command::Help(Vec::new(), Length::Short))),
        Long("help") => Ok(Some(Command::Help(Vec::new(), Length::Long))),
        Short('V') | Long("version") => Ok(Some(Command::Print(help::VERSION.into()))),
        other => Err(unknown(other)),
    }
}

pub(super) fn value(parser: &mut lexopt::Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(said)?;
    value.string().map_err(|_| format!("the value of {option} is not UTF-8"))
}

pub(super) fn port(parser: &mut lexopt::Parser) -> Result<u16, String> {
    let port = value(parser, "-p")?;
    port.parse().map_err(|_| format!("'{port}' is no port: give a number from 0 to 65535"))
}

fn pattern(parser: &mut lexopt::Parser, option: &str) -> Result<Pattern, String> {
    Pattern::parse(&value(parser, option)?).map_err(|e| e.to_string())
}

/// An address, with a port perhaps.
pub(super) fn listen_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    match text {
        "localhost" => Ok(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)),
        _ => Err(format!(
            "'{text}' is no address: give one of this machine's, such as 127.0.0.1 or 0.0.0.0, and the port with -p"
        )),
    }
}

fn unknown(arg: lexopt::Arg<'_>) -> String {
    let meant = if let Long(name) = arg { help::nearest_option(name) } else { None };
    let hint = meant.map(|meant| format!(", but --{meant}")).unwrap_or_default();
    format!("{}{hint}: {TRY}", arg.unexpected())
}

pub(super) fn said(e: lexopt::Error) -> String {
    format!("{e}: {TRY}")
}

pub(super) const TRY: &str = "try 'spectral -h'";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(format!("spectral {line}").split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Command::Capture(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let options = options("capture proxy");
        assert_eq!(options.config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(options.config.mode, Mode::Capture { output: "capture.zip".into() });
        assert!(!options.quiet && !options.config.insecure && !options.config.transparent);
    }

    #[test]
    fn everything_given() {
        let options = options(
            "capture proxy -p0 --listen ::1 -o x.zip -d *.a.example -d b.example:8443 -e c.a.example -k \
             --upstream-ca a.pem --upstream-ca b.pem --ca-dir ca --transparent -q --passthrough-refused",
        );
        let config = options.config;
        assert_eq!(config.listen.to_string(), "[::1]:0");
        assert_eq!(config.mode, Mode::Capture { output: "x.zip".into() });
        assert_eq!((config.include.len(), config.exclude.len(), config.upstream_ca.len()), (2, 1, 2));
        assert_eq!(config.ca_dir, Some("ca".into()));
        assert!(options.quiet && config.insecure && config.transparent && config.passthrough_refused);
    }

    #[test]
    fn a_command_keeps_what_looks_like_options() {
        for line in ["capture run -v -o x.zip -- cmd -o y --help -- -v", "capture run -vo x.zip cmd -o y --help -- -v"]
        {
            match parsed(line) {
                Ok(Command::Run { options, command }) => {
                    assert_eq!(command, ["cmd", "-o", "y", "--help", "--", "-v"], "{line}");
                    assert_eq!(options.config.mode, Mode::Capture { output: "x.zip".into() });
                    assert_eq!(options.config.listen.to_string(), "127.0.0.1:0");
                    assert!(options.verbose && !options.quiet);
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn nonsense_is_one_line() {
        for line in [
            "",
            "captur",
            "capture",
            "capture proxi",
            "capture proxy -p",
            "capture proxy -p x",
            "capture proxy -p 70000",
            "capture proxy --listen nowhere",
            "capture proxy --nope",
            "capture proxy stray",
            "capture proxy -d https://a.example/",
            "capture discover -o x.zip",
            "capture inspect",
            "capture inspect a.zip b.zip",
            "completions",
            "completions tcsh",
            "completions bash zsh",
            "man page",
            "capture recover",
            "capture recover a.part b.part",
            "capture recover a.part -o",
            "capture proxy --memory",
            "capture proxy --memory much",
            "capture proxy --memory -1",
            "capture proxy --memory 1.5",
            "capture proxy --memory infG",
            "capture proxy --memory 99999999999T",
            "capture discover --memory 1M",
            "capture run",
            "capture run --",
            "capture run --transparent true",
            "capture discover -v",
            "capture proxy --json",
            "ca",
            "ca frobnicate",
            "ca help",
            "ca help amiga",
            "ca path extra",
            "ca path -o x",
            "ca export --format jks",
            "ca env --shell tcsh",
            "ca env -p x",
            "ca env -p 0",
            "ca install -o x",
            "ca show --dry-run",
        ] {
            let said = parsed(line).unwrap_err();
            assert!(!said.is_empty() && !said.contains('\n'), "{line}: {said}");
        }
    }

    #[test]
    fn help_and_version() {
        let help = |words: &[&str], length| help::text(words, length);
        for (line, expected) in [
            ("-V", help::VERSION.to_owned()),
            ("--help", help(&[], Length::Long)),
            ("capture -h", help(&["capture"], Length::Short)),
            ("capture proxy --help", help(&["capture", "proxy"], Length::Long)),
            ("capture run -h", help(&["capture", "run"], Length::Short)),
            ("ca -h", help(&["ca"], Length::Short)),
            ("ca env --help", help(&["ca"], Length::Long)),
            ("capture inspect x.zip --json -h", help(&["capture", "inspect"], Length::Short)),
            ("man", help::man::page()),
            ("completions fish", Shell::Fish.script()),
        ] {
            match parsed(line) {
                Ok(Command::Help(words, length)) => assert_eq!(help::text(&words, length), expected, "{line}"),
                Ok(Command::Print(text)) => assert_eq!(text, expected, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_a_capture_may_take() {
        let config = options("capture proxy --memory 1M --max-body 2K").config;
        assert_eq!((config.memory, config.max_body), (1 << 20, 2 << 10));
        let config = options("capture proxy").config;
        assert_eq!((config.memory, config.max_body), (64 << 20, 1 << 30));
    }

    #[test]
    fn recover_takes_a_file_and_an_output() {
        match parsed("capture recover a.zip.part -o b.zip") {
            Ok(Command::Recover { part, output }) => {
                assert_eq!((part, output), ("a.zip.part".into(), Some("b.zip".into())));
            }
            other => panic!("{other:?}"),
        }
    }
}
