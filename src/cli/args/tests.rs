//! Tests of command lines and the options that are read from them.

use super::*;
use crate::cli::inspect::{BodySide, Show};
use spectral_capture::{Config, Rotate, Transparent};
use std::path::Path;
use std::time::Duration;

fn parsed(line: &str) -> Result<Task, String> {
    parse(format!("spectral {line}").split_whitespace().map(OsString::from))
}

fn options(line: &str) -> CaptureOptions {
    match parsed(line) {
        Ok(Task::Capture(options)) => options,
        other => panic!("{other:?}"),
    }
}

/// Returns the settings that only a capture has.
fn captures(config: &Config) -> &spectral_capture::CaptureOptions {
    config.capture_options().unwrap()
}

#[test]
fn a_capture_has_defaults() {
    let options = options("capture proxy");
    assert_eq!(options.config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(captures(&options.config).output.path(), Some(Path::new("capture.zip")));
    assert!(!options.quiet && !options.config.insecure && options.config.transparent == Transparent::Off);
}

#[test]
fn every_option_of_a_capture_is_read() {
    let options = options(
        "capture proxy -p0 --listen ::1 -o x.zip -d *.a.example -d b.example:8443 -e c.a.example -k \
         --upstream-ca a.pem --upstream-ca b.pem --ca-dir ca --transparent=by-name -q --passthrough-refused",
    );
    let config = options.config;
    assert_eq!(config.listen.to_string(), "[::1]:0");
    assert_eq!(captures(&config).output.path(), Some(Path::new("x.zip")));
    assert_eq!((captures(&config).include.len(), captures(&config).exclude.len(), config.upstream_ca.len()), (2, 1, 2));
    assert_eq!(captures(&config).ca.dir(), Some(Path::new("ca")));
    assert!(options.quiet && config.insecure && captures(&config).passthrough_refused);
    assert_eq!(config.transparent, Transparent::ByName);
}

#[test]
#[cfg(target_os = "linux")]
fn the_last_way_to_serve_redirected_traffic_counts() {
    for (line, transparent) in [
        ("capture proxy --transparent -q", Transparent::OriginalDestination),
        ("capture discover --transparent=by-name --transparent", Transparent::OriginalDestination),
        ("capture discover --transparent --transparent=by-name", Transparent::ByName),
    ] {
        assert_eq!(options(line).config.transparent, transparent, "{line}");
    }
}

#[test]
fn clients_that_refuse_pass_through_by_default_only_under_run() {
    for (line, passes) in [
        ("capture proxy", false),
        ("capture proxy --passthrough-refused", true),
        ("capture run -- cmd", true),
        ("capture run --no-passthrough-refused -- cmd", false),
    ] {
        let (Ok(Task::Run { options, .. }) | Ok(Task::Capture(options))) = parsed(line) else { panic!("{line}") };
        assert_eq!(captures(&options.config).passthrough_refused, passes, "{line}");
    }
}

#[test]
fn options_after_the_program_belong_to_it() {
    for line in ["capture run -v -o x.zip -- cmd -o y --help -- -v", "capture run -vo x.zip cmd -o y --help -- -v"] {
        match parsed(line) {
            Ok(Task::Run { options, command }) => {
                assert_eq!(command, ["cmd", "-o", "y", "--help", "--", "-v"], "{line}");
                assert_eq!(captures(&options.config).output.path(), Some(Path::new("x.zip")));
                assert_eq!(options.config.listen.to_string(), "127.0.0.1:0");
                assert!(options.verbose && !options.quiet);
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_usage_error_is_one_line() {
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
        "capture discover --all",
        "capture discover -- true",
        "capture discover --all -o - -- true",
        "capture run --all -p 1 -- true",
        "capture proxy --all",
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
        "capture proxy --transparent=by-host",
        "capture proxy --transparent by-name",
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
        "ca env --format fish",
        "ca env --format env --unset",
        "ca env --format env --shell sh",
        "ca env -p x",
        "ca env -p 0",
        "ca install -o x",
        "ca show --dry-run",
    ] {
        let error = parsed(line).unwrap_err();
        assert!(!error.is_empty() && !error.contains('\n'), "{line}: {error}");
    }
}

#[test]
fn a_usage_error_names_the_problem_and_what_is_expected() {
    for (line, expected) in [
        ("", "missing command: expected capture, ca, completions, man or help. See 'spectral -h'."),
        ("captrue", "unknown command 'captrue'; did you mean 'capture'?"),
        ("run -- curl", "unknown command 'run'; did you mean 'capture run'?"),
        ("capture rnu", "unknown command 'capture rnu'; did you mean 'capture run'?"),
        ("ca frobnicate", "unknown command 'ca frobnicate'. See 'spectral ca -h'."),
        ("help capture frobnicate", "unknown command 'capture frobnicate'. See 'spectral capture -h'."),
        (
            "capture",
            "missing subcommand: expected run, proxy, discover, inspect, export, merge, redact or recover. \
             See 'spectral capture -h'.",
        ),
        (
            "ca",
            "missing subcommand: expected path, show, export, env, install, uninstall or help. See 'spectral ca -h'.",
        ),
        ("capture proxy --prot 80", "unknown option '--prot'; did you mean '--port'? See 'spectral capture proxy -h'."),
        ("capture discover -o x.zip", "-o needs --all: the domains are on stdout"),
        ("capture discover x", "a COMMAND needs --all: spectral capture discover --all -- COMMAND"),
        ("ca path --unset", "unknown option '--unset'. See 'spectral ca path -h'."),
        ("--zork", "unknown option '--zork'. See 'spectral -h'."),
        ("capture proxy -o", "option '-o' needs a value"),
        ("capture proxy --output=", "option '-o' needs a value"),
        ("ca path --ca-dir=", "option '--ca-dir' needs a value"),
        ("capture proxy --domain", "option '--domain' needs a value"),
        ("capture proxy --quiet=yes", "option '--quiet' takes no value"),
        ("capture proxy x", "unexpected argument 'x'. See 'spectral capture proxy -h'."),
        ("man page", "unexpected argument 'page'. See 'spectral man -h'."),
        ("capture inspect a.zip b.zip", "unexpected argument 'b.zip'. See 'spectral capture inspect -h'."),
        (
            "capture inspect --body t_0001 request a.zip response",
            "unexpected argument 'response'. See 'spectral capture inspect -h'.",
        ),
        ("capture run", "missing COMMAND: spectral capture run -- COMMAND"),
        ("capture run -v --", "missing COMMAND: spectral capture run -- COMMAND"),
        ("capture inspect", "missing FILE: spectral capture inspect FILE"),
        ("capture recover", "missing FILE.zip.part: spectral capture recover FILE.zip.part"),
        ("capture merge -o c.zip", "missing FILE: spectral capture merge FILE... -o FILE"),
        ("capture merge a.zip", "missing -o FILE: spectral capture merge FILE... -o FILE"),
        ("capture redact a.zip", "missing -o FILE: spectral capture redact FILE -o FILE"),
        ("capture redact a.zip -o b.zip --json=", "option '--json' needs a name"),
        ("capture export a.zip", "missing --format: expected har, curl, html or openapi"),
        ("capture export a.zip --format pdf", "invalid format 'pdf': expected har, curl, html or openapi"),
        ("capture export a.zip --format har --examples", "--examples needs --format openapi"),
        ("capture export a.zip --format html --since-document a.json", "--since-document needs --format openapi"),
        ("capture export a.zip --format openapi --max-size 1M", "--max-size needs --format html"),
        ("capture export a.zip --format curl --max-body x", "--max-body needs --format html"),
        ("capture export a.zip --format openapi --since-document=", "option '--since-document' needs a value"),
        ("capture export a.zip --format openapi --examples=yes", "option '--examples' takes no value"),
        ("capture export a.zip --format openapi --name id", "--name needs --redact"),
        ("ca export --format jks", "invalid format 'jks': expected pem, der, p12 or mobileconfig"),
        ("ca env --shell tcsh", "invalid shell 'tcsh': expected sh, fish or powershell"),
        ("completions tcsh", "invalid shell 'tcsh': expected bash, zsh or fish"),
        ("completions", "missing SHELL: expected bash, zsh or fish"),
        ("ca help", "missing PLATFORM: expected firefox, chrome, ios, android, java, wsl or apparmor"),
        ("ca help amiga", "invalid platform 'amiga': expected firefox, chrome, ios, android, java, wsl or apparmor"),
        ("capture proxy -d a,b", "'a,b' contains a space or comma: repeat -d for each pattern"),
        ("capture inspect a.zip --host a,b", "'a,b' contains a space or comma: repeat --host for each pattern"),
        ("capture inspect a.zip --trace t_1 --ws ws_1", "--trace cannot be used with --ws"),
        ("capture inspect a.zip --body t_1 --json", "--body cannot be used with --json"),
        ("capture inspect a.zip --trace t_1 --status 200", "--trace cannot be used with --status"),
        ("capture export a.zip --format har --trace t_1 --grep x", "--trace cannot be used with --grep"),
    ] {
        assert_eq!(parsed(line).unwrap_err(), expected, "{line}");
    }
    for (command, expected) in [
        ("inspect", "missing FILE: spectral capture inspect FILE"),
        ("merge", "missing FILE: spectral capture merge FILE... -o FILE"),
    ] {
        assert_eq!(parse(["spectral", "capture", command, ""].map(OsString::from)).unwrap_err(), expected);
    }
    let spaces = ["spectral", "capture", "proxy", "-d", "a b"].map(OsString::from);
    assert_eq!(parse(spaces).unwrap_err(), "'a b' contains a space or comma: repeat -d for each pattern");
}

#[test]
fn numbers_outside_their_range_are_refused_with_the_range() {
    for (option, wrong, expected) in [
        ("capture proxy -p", "abc 70000 65536 -1 8080x", "0 to 65535"),
        ("capture run --port", "70000", "0 to 65535"),
        ("capture discover -p", "70000", "0 to 65535"),
        ("ca env -p", "0 70000", "1 to 65535"),
        ("ca help ios -p", "0 70000", "1 to 65535"),
        ("capture proxy --memory", "0 1 1K 1023K 1025G 2T 99999999999T much -1 1.5 infG 1e9", "1M to 1T"),
        ("capture run --max-body", "0 1 1023 2T 1.5", "1K to 1T"),
        ("capture proxy --rotate 1h --keep", "0 -1 x 1.5 99999999999", "1 or more"),
        (
            "capture inspect a.zip --status",
            "1 99 1000 99999 0xx 40x x 299-200",
            "0, 100 to 999, 4xx, 200-299, or grpc:5",
        ),
    ] {
        for text in wrong.split(' ') {
            let error = parsed(&format!("{option} {text}")).unwrap_err();
            assert!(error.ends_with(&format!("'{text}': expected {expected}")), "{option}: {error}");
        }
    }
}

#[test]
fn a_bundle_is_not_written_to_stdout_and_an_export_may_be() {
    for line in [
        "capture proxy -o -",
        "capture run --output=- -- true",
        "capture merge a.zip b.zip -o -",
        "capture redact a.zip -o-",
        "capture recover a.zip.part -o -",
    ] {
        assert_eq!(parsed(line).unwrap_err(), "cannot write a bundle to stdout: give -o FILE", "{line}");
    }
    for (dash, file) in [("-o -", None), ("", None), ("-o x", Some(Path::new("x"))), ("-o ./-", Some(Path::new("./-")))]
    {
        match parsed(&format!("capture export a.zip --format har {dash}")) {
            Ok(Task::Export(options)) => assert_eq!(options.output.as_deref(), file),
            other => panic!("{other:?}"),
        }
        match parsed(&format!("ca export {dash}")) {
            Ok(Task::Ca(Request { action: crate::cli::ca::Action::Export { output, .. }, .. })) => {
                assert_eq!(output.as_deref(), file);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_side_of_a_body_follows_its_id() {
    for (line, file, expected) in [
        ("--body t_1 a.zip", "a.zip", BodySide::Response),
        ("--body t_1 request a.zip", "a.zip", BodySide::Request),
        ("a.zip --body t_1 request", "a.zip", BodySide::Request),
        ("--body t_1 a.zip response", "a.zip", BodySide::Response),
        ("request --body t_1 request", "request", BodySide::Request),
        ("--body t_1 request response", "response", BodySide::Request),
    ] {
        match parsed(&format!("capture inspect {line}")) {
            Ok(Task::Inspect(inspect::Options { file: found, show: Show::Body(id, side), .. })) => {
                assert_eq!((found.as_path(), id.as_str(), side), (Path::new(file), "t_1", expected), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn help_is_found_at_any_position_before_the_program() {
    let help = |names: &str, length| {
        let mut path = vec![&SPECTRAL];
        for name in names.split_whitespace() {
            path.push(path.last().unwrap().subcommand(name).unwrap());
        }
        help::text(&path, length)
    };
    for (line, expected) in [
        ("-V", help::VERSION.to_owned()),
        ("capture proxy --version", help::VERSION.to_owned()),
        ("-h", help("", Length::Short)),
        ("--help", help("", Length::Long)),
        ("help", help("", Length::Long)),
        ("capture -h", help("capture", Length::Short)),
        ("help capture", help("capture", Length::Long)),
        ("help capture proxy", help("capture proxy", Length::Long)),
        ("help ca help", help("ca help", Length::Long)),
        ("capture proxy --help", help("capture proxy", Length::Long)),
        ("capture --help proxy", help("capture proxy", Length::Long)),
        ("--help capture proxy -o x", help("capture proxy", Length::Long)),
        ("capture proxy -p abc --memory 1 --help -q", help("capture proxy", Length::Long)),
        ("capture run -h", help("capture run", Length::Short)),
        ("capture run -vh -- curl --help", help("capture run", Length::Short)),
        ("ca -h", help("ca", Length::Short)),
        ("ca --ca-dir x install -h", help("ca install", Length::Short)),
        ("ca export -o x -h", help("ca export", Length::Short)),
        ("ca env --help", help("ca env", Length::Long)),
        ("capture inspect x.zip --json -h", help("capture inspect", Length::Short)),
        ("completions -h", help("completions", Length::Short)),
        ("man --help", help("man", Length::Long)),
        ("man", help::man::page()),
        ("completions fish", CompletionShell::Fish.script()),
    ] {
        match parsed(line) {
            Ok(Task::Print(text)) => assert!(text == expected, "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for line in ["capture run -- curl --help", "capture run curl -h", "capture run -q curl -- --help"] {
        assert!(matches!(parsed(line), Ok(Task::Run { .. })), "{line}");
    }
}

#[test]
fn sizes_are_read() {
    let config = options("capture proxy --memory 1M --max-body 2K").config;
    assert_eq!((config.limits.memory, config.limits.max_body), (1 << 20, 2 << 10));
    let config = options("capture proxy").config;
    assert_eq!((config.limits.memory, config.limits.max_body), (64 << 20, 1 << 30));
}

#[test]
fn a_capture_rotates_at_a_size_or_after_a_time() {
    let config = |line: &str| captures(&options(&format!("capture proxy {line}")).config).clone();
    assert_eq!((config("").rotate, config("").keep), (None, None));
    assert_eq!(config("--rotate 100M").rotate, Some(Rotate::Size(100 << 20)));
    let hourly = config("--keep 24 --rotate 1h");
    assert_eq!((hourly.rotate, hourly.keep.map(u32::from)), (Some(Rotate::Time(Duration::from_secs(3600))), Some(24)));
    assert_eq!(parsed("capture run --keep 3 true").unwrap_err(), "--keep needs --rotate");
    let expected = "invalid amount '5': expected a size (1K to 1T) or a time (1s to 365d, such as 30s, 10min or 2h)";
    assert_eq!(parsed("capture run --rotate 5 true").unwrap_err(), expected);
    assert!(parsed("capture discover --rotate 5M").unwrap_err().starts_with("unknown option '--rotate'"));
}

#[test]
fn recover_takes_a_file_and_an_output() {
    match parsed("capture recover a.zip.part -o b.zip -q --keep-backups 3") {
        Ok(Task::Recover { part, output, quiet, keep_backups }) => {
            assert_eq!((part, output, quiet), ("a.zip.part".into(), Some("b.zip".into()), true));
            assert_eq!(keep_backups.map(u32::from), Some(3));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_options_of_openapi_are_read() {
    let export = |options: &str| match parsed(&format!("capture export a.zip --format openapi {options}")) {
        Ok(Task::Export(options)) => options,
        other => panic!("{options}: {other:?}"),
    };
    let plain = export("");
    assert_eq!(plain.format, crate::cli::export::Format::Openapi);
    assert!(!plain.description.has_examples && plain.since_document.is_none() && plain.redact.is_none());
    let all = export("--examples --since-document b.json -o b.json --redact --name id --host a.example -q");
    assert!(all.description.has_examples && all.quiet && !all.filter.is_empty());
    assert_eq!((all.since_document, all.output), (Some("b.json".into()), Some("b.json".into())));
    assert_eq!(all.redact.unwrap().names, ["id"]);
}
