//! `spectral ca`: the certificate that apps have to trust, for whoever has to hand it to one.

mod args;
mod shell;
mod system;

pub(crate) use args::parse;
pub(crate) use shell::Shell;

use super::text::{date, escape, shell_word};
use spectral_capture::{
    CaCertificate, CertificateDetails, Environment, P12_PASSWORD, Roots, TRUST_GUIDES, TrustFiles, TrustGuide,
};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is asked, of which CA.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    /// The CA's folder, if it is not the usual one.
    pub(crate) dir: Option<PathBuf>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Where the certificate is.
    Path,
    /// What it says.
    Show,
    /// The certificate in some format.
    Export {
        /// Which.
        format: Format,
        /// A file instead of stdout.
        output: Option<PathBuf>,
    },
    /// Lines for a shell to evaluate, that send what it starts through a proxy.
    Env {
        /// Whose lines.
        shell: Shell,
        /// Where the proxy is.
        proxy: SocketAddr,
    },
    /// Lines that undo those.
    Unset(Shell),
    /// Into the system's store, or only what that takes.
    Install(Doing),
    /// Out of it.
    Uninstall(Doing),
    /// The steps for a platform.
    Help(&'static TrustGuide, SocketAddr),
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It is.
    ForReal,
    /// It is only told.
    DryRun,
}

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Pem,
    Der,
    P12,
    MobileConfig,
}

impl Format {
    /// Reads what stands after `--format`.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "pem" => Some(Self::Pem),
            "der" => Some(Self::Der),
            "p12" => Some(Self::P12),
            "mobileconfig" => Some(Self::MobileConfig),
            _ => None,
        }
    }

    fn write(self, ca: &CaCertificate) -> Vec<u8> {
        match self {
            Self::Pem => ca.pem().into(),
            Self::Der => ca.der().to_vec(),
            Self::P12 => ca.p12(),
            Self::MobileConfig => ca.mobileconfig().into(),
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Pem | Self::MobileConfig)
    }
}

/// Answers on `out`, which is a terminal or not. An `out` that is closed early is nothing to complain about.
pub(crate) fn answer(request: Request, out: &mut dyn Write, is_terminal: bool) -> Result<(), String> {
    let dir = request.dir.as_deref();
    let open = || CaCertificate::open(dir).map_err(|e| e.to_string());
    let text = match request.ask {
        Ask::Path => format!("{}\n", open()?.path().display()).into(),
        Ask::Show => show(&open()?)?.into(),
        Ask::Export { format, output: None } if is_terminal && !format.is_text() => {
            return Err(
                format!("{format:?} is not for a terminal: give a file with -o, or send it into a pipe").to_lowercase()
            );
        }
        Ask::Export { format, output } => match output {
            None => format.write(&open()?),
            Some(file) => {
                write_new(&file, &format.write(&open()?))?;
                match format {
                    Format::P12 => {
                        format!("{} is written; its password is {P12_PASSWORD}\n", escape(&file.to_string_lossy()))
                            .into()
                    }
                    _ => format!("{} is written\n", escape(&file.to_string_lossy())).into(),
                }
            }
        },
        Ask::Env { shell, proxy } => shell
            .lines(&Environment::current(), |before| Ok(before.through(proxy, &lasting_files(&open()?, before)?)))?,
        Ask::Unset(shell) => shell.lines_back(&Environment::current()),
        Ask::Install(doing) => return system::install(&open()?, doing, out),
        Ask::Uninstall(doing) => {
            if !CaCertificate::exists(dir).map_err(|e| e.to_string())? {
                return Err("there is no CA to uninstall".into());
            }
            return system::uninstall(&open()?, doing, out);
        }
        Ask::Help(platform, proxy) => help(platform, &open()?, proxy).into(),
    };
    say(out, &text)
}

/// Writes to stdout, whoever reads it.
fn say(out: &mut dyn Write, text: &[u8]) -> Result<(), String> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write: {e}")),
        _ => Ok(()),
    }
}

fn show(ca: &CaCertificate) -> Result<String, String> {
    let CertificateDetails { subject, issuer, from, until, key, sha256, sha1, spki, .. } =
        ca.details().ok_or("its certificate cannot be read")?;
    let day = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = date(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        date.split(' ').next().unwrap_or_default().to_owned()
    };
    let rows = [
        ("file", ca.path().display().to_string()),
        ("subject", subject),
        ("issuer", issuer),
        ("valid", format!("{} to {}", day(from), day(until))),
        ("key", key),
        ("SHA-256", sha256),
        ("SHA-1", sha1),
        ("SPKI", spki),
    ];
    Ok(rows.iter().map(|(name, value)| format!("{name:<8} {}\n", escape(value))).collect())
}

fn help(platform: &TrustGuide, ca: &CaCertificate, proxy: SocketAddr) -> String {
    let mut text = format!("{}\n", platform.title);
    // Where there is no file to hand on, it is exported by the name that it has as a download.
    let file = file_to_hand_on(ca).map_or("mitmproxy-ca-cert.pem".into(), |file| shell_word(&file.to_string_lossy()));
    for (number, step) in platform.steps(&file, proxy).enumerate() {
        text.push_str(&format!("\n{:>2}. {}\n", number.saturating_add(1), laid_out(&step)));
    }
    text
}

/// A step, its commands on lines of their own: broken or punctuated they could not be copied.
fn laid_out(step: &str) -> String {
    let (mut lines, mut sentence) = (Vec::new(), String::new());
    let prose = |sentence: &mut String| {
        let words = std::mem::take(sentence);
        let words = words.trim_start_matches(['.', ',', ' ']).trim_end();
        (!words.is_empty()).then(|| wrapped(&escape(words), 4))
    };
    // Code stands in backquotes, so every second part is code.
    for (number, part) in step.split('`').enumerate() {
        if number % 2 == 1 && part.contains(' ') {
            lines.extend(prose(&mut sentence));
            lines.push(format!("    {}", escape(part)));
        } else {
            sentence.push_str(part);
        }
    }
    lines.extend(prose(&mut sentence));
    lines.join("\n    ")
}

/// The certificate's own file. In a folder that cannot be written to it may have none, and the other one holds the key too.
fn file_to_hand_on(ca: &CaCertificate) -> Result<&Path, String> {
    const KEY: &[u8] = b"PRIVATE KEY";
    let file = ca.path();
    let bytes = fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    match bytes.windows(KEY.len()).any(|part| part == KEY) {
        true => Err(format!(
            "{} holds the key too, which nobody else is to get: make its folder writable, so that the certificate gets a file \
             of its own",
            file.display()
        )),
        false => Ok(file),
    }
}

/// `text` in lines of some 76 characters, those after the first indented.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut len) = (String::new(), indent);
    for word in text.split(' ') {
        let width = word.chars().count();
        if len > indent && len.saturating_add(width) > 76 {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            len = indent;
        } else if len > indent {
            lines.push(' ');
        }
        lines.push_str(word);
        len = len.saturating_add(width).saturating_add(1);
    }
    lines
}

/// The files for a shell, which have to be there for as long as it is: beside the CA, where they are found and removed with it.
fn lasting_files(ca: &CaCertificate, environment: &Environment) -> Result<TrustFiles, String> {
    let dir = ca.path().parent().unwrap_or(Path::new("."));
    let file = |name, bytes: &[u8]| {
        let path = dir.join(name);
        replace(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        std::path::absolute(&path).map_err(|e| e.to_string())
    };
    let roots = Roots::with(ca, environment);
    Ok(TrustFiles {
        roots: file("spectral-roots.pem", roots.pem().as_bytes())?,
        extra: file("spectral-extra.pem", roots.extra_pem(environment).as_bytes())?,
        java: file("spectral-roots.p12", &roots.p12())?,
        wgetrc: None,
    })
}

/// Other shells may be reading what is there: it is replaced whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Writes a file that is not there; one that holds the same already will do. A key is not overwritten by its certificate so.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let written =
        fs::OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    match written {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && fs::read(path).is_ok_and(|there| there == bytes) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(format!("{} is there already, and holds something else: choose another name", path.display()))
        }
        Err(e) => Err(format!("cannot write {}: {e}", path.display())),
        Ok(()) => Ok(()),
    }
}

/// The platform of that name.
fn platform(name: &str) -> Option<&'static TrustGuide> {
    TRUST_GUIDES.iter().find(|platform| platform.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_whole_and_alone_on_their_lines() {
        let step = format!("On `Linux`: `certutil {} a`, and confirm, or `x y`. Or `a b`.", "word ".repeat(20));
        let command = format!("        certutil {} a", "word ".repeat(20));
        let expected = ["On Linux:", &command, "    and confirm, or", "        x y", "    Or", "        a b"];
        assert_eq!(laid_out(&step).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn long_lines_are_wrapped_at_blanks() {
        let text = wrapped(&"word ".repeat(40), 4);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 76), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    w")), "{text}");
        assert_eq!(wrapped("one", 4), "one");
        let long = "x".repeat(100);
        assert_eq!(wrapped(&long, 4), long, "what has no blank stays whole");
    }
}
