//! `spectral ca`: shows the CA certificate, exports it, and helps programs and systems to trust it.

mod env_file;
mod files;
mod guide;
mod request;
mod shell;
mod system_store;

pub(crate) use guide::find_guide;
pub(crate) use request::{Action, EnvForm, Execution, Format, Request};
pub(crate) use shell::Shell;

use super::advice;
use super::message::print_warning;
use super::output::print;
use super::text::{date, escape, shell_word};
use files::{certificate_file, write_new, write_trust_files};
use spectral_capture::{CaCertificate, CertificateDetails, Environment, P12_PASSWORD};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs a `ca` command. `is_terminal` is true if `out` is a terminal.
///
/// Commands that show, explain or remove something never create a CA: `path`, `show`, `uninstall` and `help`. Commands
/// that put the certificate to use create a missing CA: `export`, `env` and `install` (also with `--dry-run`, since the
/// printed commands contain the fingerprint). They create it in the default directory. In a directory given with
/// `--ca-dir` they create it only if that directory exists: otherwise the path is probably mistyped. `env --unset`
/// needs no CA. A capture creates the CA and its directory.
pub(crate) fn run(request: Request, out: &mut dyn Write, is_terminal: bool) -> Result<(), String> {
    let dir = request.dir.as_deref();
    let text: Vec<u8> = match request.action {
        Action::Path => format!("{}\n", file(&open_existing(dir)?).display()).into(),
        Action::Show => match find(dir)? {
            Some(ca) => details(&ca)?.into(),
            None => return Err(missing_ca(dir)?),
        },
        Action::Export { format, output: None } => {
            if is_terminal && format.is_binary() {
                let name = format.name();
                return Err(format!(
                    "cannot write {name} to a terminal: it is binary; name a file with -o, or use a pipe"
                ));
            }
            format.encode(&open_or_create(dir)?)
        }
        Action::Export { format, output: Some(file) } => {
            write_new(&file, &format.encode(&open_or_create(dir)?))?;
            let password = match format {
                Format::P12 => format!(" (password: {P12_PASSWORD})"),
                _ => String::new(),
            };
            format!("Certificate written to {}{password}\n", escape(&file.to_string_lossy())).into()
        }
        Action::Env { form, proxy, trust_dir } => {
            let ca = open_or_create(dir)?;
            let current = Environment::current();
            let files = write_trust_files(&ca, &current, trust_dir.as_deref())?;
            match form {
                EnvForm::Shell(shell) => shell.lines(&current, &current.with_proxy(proxy, &files)),
                // The programs that will read it do not inherit the variables of this one.
                EnvForm::File => env_file::text(&Environment::default().with_proxy(proxy, &files))?,
            }
        }
        Action::UnsetEnv(shell) => shell.undo_lines(&Environment::current()),
        Action::Install(execution) => return system_store::install(&open_or_create(dir)?, execution, out),
        Action::Uninstall(execution) => return system_store::uninstall(&open_to_uninstall(dir)?, execution, out),
        Action::AppArmor => guide::apparmor_profile()?.into(),
        Action::Help(guide, proxy) => {
            let file = match open_existing(dir) {
                // A file that contains the key must not be passed on. The steps then name the file as browsers save it.
                Ok(ca) => certificate_file(&ca).map_or(CERTIFICATE_FILE.into(), Path::to_path_buf),
                Err(missing) => {
                    print_warning(&missing);
                    CaCertificate::directory(dir).map_err(|e| advice::error_line(&e))?.join(CERTIFICATE_FILE)
                }
            };
            guide::text(guide, &shell_word(&file.to_string_lossy()), proxy).into()
        }
    };
    print(text, out)
}

/// Finds the CA, if there is one, even if it cannot be used to capture. Creates nothing.
fn find(dir: Option<&Path>) -> Result<Option<CaCertificate>, String> {
    CaCertificate::find(dir).map_err(|e| advice::error_line(&e))
}

/// Opens the CA and fails if there is none. Creates nothing.
fn open_existing(dir: Option<&Path>) -> Result<CaCertificate, String> {
    match CaCertificate::exists(dir).map_err(|e| advice::error_line(&e))? {
        true => CaCertificate::open(dir).map_err(|e| advice::error_line(&e)),
        false => Err(missing_ca(dir)?),
    }
}

/// Opens the CA whose certificate is to be removed from the trust store. A new CA would have another certificate, so the
/// error does not suggest creating one.
fn open_to_uninstall(dir: Option<&Path>) -> Result<CaCertificate, String> {
    match find(dir)? {
        Some(ca) => Ok(ca),
        None => {
            let directory = CaCertificate::directory(dir).map_err(|e| advice::error_line(&e))?;
            Err(format!(
                "no CA in {}, so the certificate to remove is unknown; choose the CA's directory with --ca-dir",
                directory.display()
            ))
        }
    }
}

/// Opens the CA. A missing one is created in the default directory or in an existing one.
fn open_or_create(dir: Option<&Path>) -> Result<CaCertificate, String> {
    match dir {
        Some(given) if !given.is_dir() => Err(missing_ca(dir)?),
        _ => CaCertificate::open(dir).map_err(|e| advice::error_line(&e)),
    }
}

/// Returns the error for a directory without a CA, with its remedy.
fn missing_ca(dir: Option<&Path>) -> Result<String, String> {
    let directory = CaCertificate::directory(dir).map_err(|e| advice::error_line(&e))?;
    let problem = format!("no CA in {}", directory.display());
    Ok(match dir {
        None => format!("{problem}: create one with 'spectral ca export' or by starting a capture"),
        Some(given) if given.is_dir() => {
            let given = shell_word(&given.to_string_lossy());
            format!("{problem}: create one with 'spectral ca export --ca-dir {given}' or by starting a capture")
        }
        Some(given) if given.exists() => format!("{problem}: not a directory"),
        Some(_) => format!("{problem}: no such directory; check --ca-dir, or start a capture with it to create the CA"),
    })
}

/// Returns the certificate's file: a CA of this command is in a folder.
fn file(ca: &CaCertificate) -> &Path {
    ca.path().unwrap_or(Path::new(""))
}

/// Returns the details of the certificate, a line for each.
fn details(ca: &CaCertificate) -> Result<String, String> {
    let path = file(ca);
    let CertificateDetails { subject, issuer, from, until, key, sha256, sha1, spki, .. } =
        ca.details().ok_or_else(|| format!("cannot parse the certificate in {}", path.display()))?;
    let day = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let date = date(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        date.split(' ').next().unwrap_or_default().to_owned()
    };
    let rows = [
        ("file", path.display().to_string()),
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

/// The name of the certificate's file, in mitmproxy's layout.
const CERTIFICATE_FILE: &str = "mitmproxy-ca-cert.pem";
