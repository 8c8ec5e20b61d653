//! Files of the CA: the certificate to pass on, trust files for a shell, exports.

use crate::cli::output::directory_error;
use spectral_capture::output::TemporaryFile;
use spectral_capture::{CaCertificate, Environment, NODE_SCRIPT, TrustFiles, TrustedRoots};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Returns the certificate's file if it is safe to pass on.
///
/// # Errors
/// If the file contains the private key too. That happens in a directory without write permission, where the
/// certificate has no file of its own.
pub(super) fn certificate_file(ca: &CaCertificate) -> Result<&Path, String> {
    const KEY: &[u8] = b"PRIVATE KEY";
    let file = ca.path().ok_or("the CA certificate has no file")?;
    let bytes = fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    match bytes.windows(KEY.len()).any(|part| part == KEY) {
        true => Err(format!(
            "cannot pass on {}: it contains the private key; make its directory writable, so that the certificate \
             gets a file of its own",
            file.display()
        )),
        false => Ok(file),
    }
}

/// Writes the trust files into `dir`, which is created if it is missing, and returns their absolute paths. Without `dir`
/// they are written beside the CA, where they are easy to find and are removed with it.
///
/// They must exist as long as programs run that use them. Any user may read them: they contain no secret.
pub(super) fn write_trust_files(
    ca: &CaCertificate,
    environment: &Environment,
    dir: Option<&Path>,
) -> Result<TrustFiles, String> {
    if let Some(dir) = dir {
        fs::create_dir_all(dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    }
    let dir = dir.or_else(|| ca.path()?.parent()).unwrap_or(Path::new("."));
    let write = |name, bytes: &[u8]| {
        let path = dir.join(name);
        replace(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        std::path::absolute(&path).map_err(|e| e.to_string())
    };
    let roots = TrustedRoots::with(ca, environment);
    Ok(TrustFiles::new(
        write("spectral-roots.pem", roots.pem().as_bytes())?,
        write("spectral-extra.pem", roots.extra_pem(environment).as_bytes())?,
        write("spectral-roots.p12", &roots.p12())?,
        write("spectral-node.js", NODE_SCRIPT.as_bytes())?,
    ))
}

/// Replaces a file atomically, since programs of other shells may be reading it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = TemporaryFile::create(path)?;
    temporary.file().as_ref().write_all(bytes)?;
    // Whatever the umask is, a service or a container may run as another user.
    temporary.file().set_permissions(fs::Permissions::from_mode(0o644))?;
    temporary.replace()
}

/// Writes a new file; an existing file with the same contents is accepted. An export thus never overwrites a key.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    // Opening a pipe would wait.
    let is_written =
        || fs::metadata(path).is_ok_and(|meta| meta.is_file()) && fs::read(path).is_ok_and(|found| found == bytes);
    let written =
        fs::OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(bytes));
    match written {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && is_written() => Ok(()),
        Err(_) if path.is_dir() => Err(directory_error(path)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(format!("cannot write {}: it exists with other contents; choose another name", path.display()))
        }
        Err(e) => Err(format!("cannot write {}: {e}", path.display())),
        Ok(()) => Ok(()),
    }
}
