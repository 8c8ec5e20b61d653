//! `spectral capture discover --all`: the domains of a command, without any certificate.

use crate::support::namespaces::User;
use crate::support::peers::{peer, run};
use crate::support::{Origin, TestCa};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn the_domains_of_a_command_are_listed_beside_its_own_output() {
    let Some(curl) = peer("curl") else {
        return;
    };
    for user in User::all() {
        let origin = Origin::tls_responding(HELLO);
        let url = format!("https://{}/", origin.authority("localhost"));
        let curl = [curl.to_str().unwrap(), "--noproxy", "*", "-ksS", &url];
        let dir = user.dir();
        let discover = |options: &[&str], code: i32| {
            let mut command =
                user.spectral(&dir, &[&["capture", "discover", "--all"], options, &["--"], &curl[..]].concat());
            let output = run(command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "*"));
            assert_eq!((output.code, output.text().as_str()), (Some(code), "hello"), "{}", output.err);
            output.err
        };
        let table = discover(&[], 0);
        assert!(table.contains(" 1 ") && table.contains("  localhost\n"), "{table}");
        assert!(
            table.contains("\nTo capture them:\n  spectral capture run --all -d localhost -- COMMAND\n"),
            "{table}"
        );
        let lines = discover(&["-q", "--json"], 0);
        assert!(lines.starts_with("{\"domain\":\"localhost\",\"known_by\":\"name\",\"connections\":1,"), "{lines}");
        let rest = discover(&["--json", "-o", "domains.json"], 0);
        assert!(!rest.contains("known_by"), "{rest}");
        assert!(std::fs::read_to_string(dir.join("domains.json")).unwrap().starts_with("{\"domain\":\"localhost\""));
        assert!(!dir.join(".mitmproxy").exists(), "no CA is created");
        assert!(TestCa::trusted().pem.exists());
        let mut command =
            user.spectral(&dir, &["capture", "discover", "--all", "-o", "no/such/file", "--", "touch", "started"]);
        let output = run(&mut command);
        assert_eq!((output.code, dir.join("started").exists()), (Some(1), false), "{}", output.err);
    }
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    for user in User::all() {
        let dir = user.dir();
        let output = run(&mut user.spectral(&dir, &["capture", "discover", "--all", "--", "sh", "-c", "exit 9"]));
        assert_eq!(output.code, Some(9), "{}", output.err);
        assert!(
            output.err.contains("No domains were seen. No TCP connection of the command reached its destination."),
            "{}",
            output.err
        );
    }
}
