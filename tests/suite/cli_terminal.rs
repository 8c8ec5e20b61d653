//! `spectral capture proxy` as a job of an interactive shell: only the foreground process writes a status line, and the line
//! fits the terminal.

use crate::support::peers::{peer, wait};
use crate::support::{TempDir, Watched};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Runs its arguments on a new terminal: stdin is typed there, and the terminal's output goes to stdout.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// The beginning of a status line: erase, dim.
const STATUS: &str = "\r\u{1b}[K\u{1b}[2m";

/// An interactive shell with job control on a terminal of 80 columns.
struct Shell {
    child: Child,
    keyboard: ChildStdin,
    shown: Watched<String>,
}

impl Shell {
    /// Starts the shell; `$S` is `spectral`. Returns `None` without the peers.
    fn start(dir: &TempDir) -> Option<Self> {
        let (python, bash, _) = (peer("python3")?, peer("bash")?, peer("stty")?);
        let mut child = Command::new(python)
            .args(["-c", ON_A_TERMINAL])
            .arg(bash)
            .args(["--norc", "--noprofile", "-i"])
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .env("S", env!("CARGO_BIN_EXE_spectral"))
            .env("TERM", "xterm")
            .env("PS1", "$ ")
            .env("INPUTRC", "/dev/null")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (shown, keyboard) = (Watched::<String>::default(), child.stdin.take().unwrap());
        let (mut pipe, so_far) = (child.stdout.take().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                so_far.update(|shown| shown.push_str(&String::from_utf8_lossy(&piece[..n])));
            }
        });
        let mut shell = Self { child, keyboard, shown };
        shell.enter("stty cols 80");
        Some(shell)
    }

    /// Types `keys`.
    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a command that ends, and waits for its end.
    #[track_caller]
    fn enter(&mut self, command: &str) {
        let before = self.len();
        // The echo of the typed line contains the quotes, the output does not.
        self.press(&format!("{command}; echo en''ded\n"));
        self.wait_for(before, "ended\r\n");
    }

    fn len(&self) -> usize {
        self.shown.read(String::len)
    }

    /// Waits until `part` is shown after the first `from` bytes, and returns the bytes shown before its end.
    #[track_caller]
    fn wait_for(&self, from: usize, part: &str) -> usize {
        self.shown.until(&format!("{part:?}"), |shown| Some(from + shown.get(from..)?.find(part)? + part.len()))
    }

    /// Returns the text after the first `from` bytes, once nothing was shown for the time of two refreshes.
    fn settled(&self, from: usize) -> String {
        self.shown.settled(Duration::from_millis(600))[from..].to_owned()
    }

    /// Waits for the shell's end.
    #[track_caller]
    fn end(mut self) {
        self.press("exit\n");
        assert!(wait(&mut self.child).is_some(), "the shell does not end: {:?}", self.shown.read(Clone::clone));
    }
}

#[test]
fn only_the_foreground_process_writes_a_status_line() {
    let dir = TempDir::new();
    let Some(mut shell) = Shell::start(&dir) else {
        return;
    };
    let from = shell.len();
    shell.press("\"$S\" capture proxy -p 0 &\n");
    let started = shell.wait_for(from, "Capturing on ");
    let in_background = shell.settled(started);
    assert!(!in_background.contains(" relayed, "), "{in_background:?}");
    shell.press("fg\n");
    let in_foreground = shell.wait_for(started, " relayed, ");
    // Ctrl+Z.
    shell.press("\x1a");
    let stopped = shell.wait_for(in_foreground, "Stopped");
    shell.press("bg\n");
    let resumed = shell.settled(stopped);
    assert!(!resumed.contains(" relayed, "), "{resumed:?}");
    let before = shell.len();
    shell.press("fg\n");
    let again = shell.wait_for(before, " relayed, ");
    shell.press("\x03");
    shell.wait_for(again, "Capture bundle written to capture.zip");
    shell.end();
}

/// The terminal sends Ctrl+C to the command too. With `--all`, both are still in the terminal's foreground group.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_and_ctrl_z_reach_a_command_in_a_network_of_its_own() {
    use crate::support::namespaces::User;
    if !User::all().contains(&User::Current) {
        return;
    }
    let dir = TempDir::new();
    let Some(mut shell) = Shell::start(&dir) else {
        return;
    };
    let from = shell.len();
    // In the echo of the typed line, the words are in two parts.
    let script = "trap \"exit 7\" INT; trap \"echo resu\"\"med\" CONT; echo beg\"\"un; while :; do sleep 0.1; done";
    shell.press(&format!("\"$S\" capture run --all -- sh -c '{script}'; echo code=$?\n"));
    let begun = shell.wait_for(from, "begun\r\n");
    shell.press("\x1a");
    let stopped = shell.wait_for(begun, "code=148\r\n");
    shell.press("fg; echo code=$?\n");
    let resumed = shell.wait_for(stopped, "resumed\r\n");
    shell.press("\x03");
    let written = shell.wait_for(resumed, "Capture bundle written to capture.zip");
    shell.wait_for(written, "code=7\r\n");
    shell.end();
}

#[test]
fn the_status_line_fits_the_width_of_the_terminal() {
    let dir = TempDir::new();
    let Some(mut shell) = Shell::start(&dir) else {
        return;
    };
    shell.enter("tty > tty-name");
    let terminal = std::fs::read_to_string(dir.join("tty-name")).unwrap();
    // Another process resizes the terminal.
    let resize = |columns: &str| {
        let set =
            |flag| Command::new("stty").args([flag, terminal.trim(), "cols", columns]).status().unwrap().success();
        assert!(set("-F") || set("-f"), "stty");
    };
    resize("30");
    let from = shell.len();
    shell.press("\"$S\" capture proxy -p 0\n");
    let line = |columns: usize| {
        let text: String = "0 exchanges, 0 WebSockets, 0 B relayed, 0 open, bundle 0 B".chars().take(columns).collect();
        format!("{STATUS}{text}\u{1b}[m")
    };
    let narrow = shell.wait_for(from, &line(29));
    resize("200");
    let wide = shell.wait_for(narrow, &line(200));
    resize("20");
    let narrow = shell.wait_for(wide, &line(19));
    shell.press("\x03");
    shell.wait_for(narrow, "Capture bundle written to capture.zip");
    shell.end();
}
