//! Remedies for the library's errors, warnings and reasons, in terms of this program's commands and options.
//!
//! The library states what failed, on what and why. Its messages name no option; the remedies here do.

use super::message;
use super::open_bundle::part_path;
use super::text::shell_word;
use spectral_capture::{
    CaError, CaExposure, ClientCertificateError, Config, Conflict, Distrust, Error, Exposure, Opaque, OutputError,
    Reason, Uncaptured, UpstreamCaError, Warning, merge, recover,
};
use std::io;
use std::path::Path;

/// Returns an error with its remedy, for [`super::message::fail`].
pub(crate) fn error_line(error: &Error) -> String {
    with_remedy(error.to_string(), for_error(error))
}

/// Returns an error of `spectral capture recover` with its remedy.
pub(crate) fn recover_error_line(error: &recover::Error) -> String {
    let remedy = match error {
        recover::Error::Output(cause) => for_error(cause),
        recover::Error::Running(_) => {
            Some("end it with Ctrl+C, or name a file for its exchanges so far with -o".into())
        }
        recover::Error::Read { path, .. } | recover::Error::NoOutputName(path) if part_path(path, 1).exists() => {
            Some(format!("did you mean {}?", part_path(path, 1).display()))
        }
        recover::Error::NoOutputName(_) => Some("name the new bundle with -o".into()),
        recover::Error::OutputIsInput(_) => Some("choose another file with -o".into()),
        recover::Error::Complete(path) => {
            let path = shell_word(&path.display().to_string());
            Some(format!(
                "show it with: spectral capture inspect {path}; copy all that is readable with: spectral capture merge \
                 {path} -o NEW.zip"
            ))
        }
        recover::Error::InterruptedMerge(_) => Some("merge them again".into()),
        _ => None,
    };
    with_remedy(error.to_string(), remedy)
}

/// Returns an error of `spectral capture merge` or `redact` with its remedy.
pub(crate) fn rewrite_error_line(error: &merge::Error) -> String {
    let remedy = match error {
        merge::Error::Output(cause) => for_error(cause),
        merge::Error::OutputIsInput(_) => Some("choose another file with -o".into()),
        _ => None,
    };
    with_remedy(error.to_string(), remedy)
}

/// Returns a warning with its remedy, as a line for stderr.
pub(crate) fn warning_line(warning: &Warning) -> String {
    message::warning_line(&with_remedy(warning.to_string(), for_warning(warning)))
}

fn with_remedy(problem: String, remedy: Option<String>) -> String {
    match remedy {
        Some(remedy) => format!("{problem}; {remedy}"),
        None => problem,
    }
}

/// Returns the remedy for an error that prevents a capture from starting.
fn for_error(error: &Error) -> Option<String> {
    let remedy = match error {
        Error::Listen { cause, .. } => match cause.kind() {
            io::ErrorKind::AddrInUse => "choose another port with -p, or -p 0 for any free port",
            io::ErrorKind::PermissionDenied => "choose a port above 1023 with -p",
            io::ErrorKind::AddrNotAvailable => "choose an address of this machine with --listen",
            _ => return None,
        },
        Error::Output { cause, .. } => return for_output(cause).map(str::to_owned),
        Error::Ca { path, cause: CaError::Exposed(exposure) } => return for_exposure(path, *exposure),
        Error::Ca { cause, .. } => return for_ca(cause).map(str::to_owned),
        Error::UpstreamCa { cause: UpstreamCaError::UnsupportedKey { .. }, .. } => {
            "remove it from the file; -k captures its origins"
        }
        Error::ClientCertificate { path, cause } => return for_client_certificate(cause, path),
        Error::Conflict(Conflict::CertificatesForAnyone) => {
            "require a password with --auth-file or SPECTRAL_AUTH, or listen on 127.0.0.1"
        }
        Error::Conflict(Conflict::PasswordForRedirected) => {
            "give --transparent or a password (--auth-file, SPECTRAL_AUTH), not both"
        }
        Error::KeyLog { .. } => "name another file with --keylog",
        Error::UpstreamCa { .. } => "give --upstream-ca a PEM file of certificates",
        _ => return None,
    };
    Some(remedy.to_owned())
}

fn for_client_certificate(error: &ClientCertificateError, path: &Path) -> Option<String> {
    let path = shell_word(&path.display().to_string());
    match error {
        ClientCertificateError::NotPem => {
            Some(format!("convert PKCS#12 with: openssl pkcs12 -in {path} -nodes -out NEW.pem"))
        }
        ClientCertificateError::Passphrase => {
            Some(format!("remove it with: {{ openssl x509 -in {path} && openssl pkey -in {path}; }} > NEW.pem"))
        }
        ClientCertificateError::NoKey | ClientCertificateError::NoCertificate => {
            Some("write both into one file: cat CERTIFICATE.pem KEY.pem > NEW.pem".into())
        }
        _ => None,
    }
}

fn for_output(error: &OutputError) -> Option<&'static str> {
    match error {
        OutputError::NoFileName | OutputError::IsDirectory => Some("name a file with -o"),
        OutputError::NotAFile
        | OutputError::DanglingLink(_)
        | OutputError::ForeignLink { .. }
        | OutputError::ReplaceableLink { .. } => Some("choose another file with -o"),
        OutputError::TooManyUnfinished { .. } => Some("delete those that are not needed"),
        OutputError::Create { cause, .. } => match cause.kind() {
            io::ErrorKind::NotFound => Some("create it, or choose another file with -o"),
            io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose another file with -o")
            }
            _ => None,
        },
        _ => None,
    }
}

/// Returns a warning about access that others have to the CA's key, with its remedy.
pub(crate) fn ca_exposure(CaExposure { path, exposure, is_read_only, .. }: &CaExposure) -> String {
    let remedy = for_exposure(path, *exposure).filter(|_| !is_read_only);
    with_remedy(format!("the CA {}: {exposure}", path.display()), remedy)
}

fn for_exposure(path: &Path, exposure: Exposure) -> Option<String> {
    let mode = match exposure {
        Exposure::KeyReadable | Exposure::KeyWritable | Exposure::KeyOfGroup => "600",
        Exposure::DirectoryWritable | Exposure::DirectoryWritableByGroup => "go-w",
        _ => return None,
    };
    Some(format!("make it private with: chmod {mode} {}", shell_word(&path.display().to_string())))
}

fn for_ca(error: &CaError) -> Option<&'static str> {
    match error {
        CaError::NoHomeDirectory => Some("choose a directory with --ca-dir"),
        CaError::NotADirectory | CaError::Read(_) | CaError::Create(_) => {
            Some("choose another directory with --ca-dir")
        }
        CaError::DanglingLink => Some("repair the link, or choose another directory with --ca-dir"),
        CaError::Removed => Some("try again"),
        CaError::ClockBefore1970 => Some("correct the clock"),
        CaError::Passphrase => Some("remove the passphrase, or choose another directory with --ca-dir"),
        CaError::NotYetValid { .. } => {
            Some("correct the clock, choose another directory with --ca-dir, or move the file away to create a new CA")
        }
        CaError::Empty
        | CaError::Damaged(_)
        | CaError::NoKey
        | CaError::UnsupportedKey
        | CaError::NoCertificate
        | CaError::Mismatch
        | CaError::NotCa
        | CaError::CannotSign
        | CaError::NotForServers
        | CaError::NameConstraints
        | CaError::CriticalExtension(_)
        | CaError::NoSubject
        | CaError::Expired { .. } => {
            Some("choose another directory with --ca-dir, or move the file away to create a new CA")
        }
        _ => None,
    }
}

/// Returns the remedy for a warning.
fn for_warning(warning: &Warning) -> Option<String> {
    match warning {
        Warning::Leftover { path } | Warning::Unfinished { path, .. } => {
            Some(format!("make a bundle of it with: spectral capture recover {}", path.display()))
        }
        Warning::DescriptorLimit { .. } => Some("raise the limit with ulimit -n".into()),
        _ => None,
    }
}

/// The program whose traffic was to be captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The command of `capture run`.
    Command,
    /// The command of `capture run --all`.
    Redirected,
    /// A program that uses `capture proxy`.
    App,
}

/// The treatment of clients that refuse our certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusing {
    /// They pass through, as is the default of this command.
    PassesByDefault,
    /// They pass through, as an option demands.
    Passes,
    /// Their connections fail. An option would let them pass through.
    Fails,
    /// Their connections fail, as an option demands.
    FailsByChoice,
}

impl Refusing {
    /// The treatment in a capture of `client` with this configuration.
    pub(crate) fn new(client: Client, config: &Config) -> Self {
        let passes = config.capture_options().is_some_and(|capture| capture.passthrough_refused);
        match (client, passes) {
            (Client::Command | Client::Redirected, true) => Self::PassesByDefault,
            (Client::Command | Client::Redirected, false) => Self::FailsByChoice,
            (Client::App, true) => Self::Passes,
            (Client::App, false) => Self::Fails,
        }
    }
}

/// Returns the remedy for connections that were not captured.
pub(crate) fn for_uncaptured(uncaptured: &Uncaptured, ca_cert: Option<&Path>, refusing: Refusing) -> Option<String> {
    let name = uncaptured.host.rsplit_once(':').map_or(uncaptured.host.as_str(), |(name, _)| name);
    for_reason(&uncaptured.reason, name, ca_cert, refusing)
}

/// Returns the remedy for the reason why the host `name` was not captured.
fn for_reason(reason: &Reason, name: &str, ca_cert: Option<&Path>, refusing: Refusing) -> Option<String> {
    let trust_or_exclude = || {
        let ca_cert = ca_cert.map(|path| path.display().to_string()).unwrap_or_default();
        format!("make the app trust {ca_cert}, or exclude the host with -e {name}")
    };
    match reason {
        Reason::CertificateRefused(_) | Reason::ClientLeft | Reason::LeftUnanswered => {
            Some(trust_or_exclude() + if refusing == Refusing::Fails { HINT_TO_PASS } else { "" })
        }
        Reason::RefusedBefore => Some(format!(
            "its first connection failed: {}{}",
            trust_or_exclude(),
            if refusing == Refusing::PassesByDefault { HINT_NOT_TO_PASS } else { "" }
        )),
        Reason::OriginNotTrusted(Distrust::UnknownIssuer | Distrust::CaCertificate)
        | Reason::OriginRejected(Distrust::UnknownIssuer | Distrust::CaCertificate) => {
            Some("to capture it anyway, use -k, or trust its certificate or CA with --upstream-ca FILE".into())
        }
        Reason::OriginNotTrusted(_) | Reason::OriginRejected(_) => Some("to capture it anyway, use -k".into()),
        Reason::OriginTls(cause) | Reason::ClientTls(cause)
            if OLD_TLS_SIGNS.iter().any(|sign| cause.contains(sign)) =>
        {
            Some("only TLS 1.2 and 1.3 with modern cipher suites can be intercepted".into())
        }
        Reason::ClientCertificate => {
            Some("the app may have one, so it connects itself; to capture it, give certificate and key with --client-cert".into())
        }
        Reason::ClientCertificateRejected(_) | Reason::ClientCertificateRejectedLate(_) => {
            Some("check the file of --client-cert for this host".into())
        }
        Reason::MayNeedClientCertificate => {
            Some(format!("if the app has a client certificate, exclude the host with -e {name}"))
        }
        Reason::Renegotiated => Some(format!("try again, or exclude the host from the start with -e {name}")),
        Reason::Protocol(_) => Some("to capture it, configure the app to use HTTP/1.1 or HTTP/2".into()),
        Reason::NoPassword | Reason::WrongPassword => {
            Some("give the app the proxy's URL with both: http://USER:PASSWORD@HOST:PORT".into())
        }
        Reason::NotForAProxy => Some(
            "set HTTP_PROXY and HTTPS_PROXY to the proxy's URL (http://…); redirected traffic needs --transparent"
                .into(),
        ),
        Reason::TlsToTheProxy => {
            Some("write http://, not https://, in HTTPS_PROXY; redirected traffic needs --transparent".into())
        }
        Reason::NoOriginalDestination => Some(
            "if another machine redirects it, use --transparent=by-name; to use the proxy, set HTTP_PROXY and HTTPS_PROXY \
             to its URL (http://…)"
                .into(),
        ),
        Reason::RedirectLoop => {
            Some("exempt this proxy in the firewall: run it as a user of its own, and redirect all but that user".into())
        }
        Reason::Opaque(Opaque::MemoryLimit) => Some("raise the limit with --memory".into()),
        Reason::Internal => Some("please report it with the panic message above".into()),
        _ => None,
    }
}

const HINT_TO_PASS: &str = " (or all such hosts with --passthrough-refused)";
const HINT_NOT_TO_PASS: &str = "; if it does trust it, use --no-passthrough-refused";

/// Parts of the texts of failed handshakes with peers that are too old. Some answer with the alert handshake_failure if
/// no cipher suite is in common (RFC 5246 section 7.2.2).
const OLD_TLS_SIGNS: [&str; 4] = ["in common", "version", "handshake_failure", "insufficient_security"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::SocketAddr;
    use std::time::UNIX_EPOCH;

    fn system(kind: ErrorKind) -> io::Error {
        kind.into()
    }

    #[test]
    fn every_ca_error_has_a_remedy_where_one_exists() {
        let cases = [
            (CaError::NoHomeDirectory, "--ca-dir"),
            (CaError::NotADirectory, "--ca-dir"),
            (CaError::DanglingLink, "repair the link"),
            (CaError::Removed, "try again"),
            (CaError::Read(system(ErrorKind::PermissionDenied)), "--ca-dir"),
            (CaError::Create(system(ErrorKind::PermissionDenied)), "--ca-dir"),
            (CaError::Empty, "move the file away"),
            (CaError::Damaged("bad base64".into()), "move the file away"),
            (CaError::Passphrase, "remove the passphrase"),
            (CaError::NoKey, "move the file away"),
            (CaError::UnsupportedKey, "move the file away"),
            (CaError::NoCertificate, "move the file away"),
            (CaError::Mismatch, "move the file away"),
            (CaError::NotCa, "move the file away"),
            (CaError::CannotSign, "move the file away"),
            (CaError::NotForServers, "move the file away"),
            (CaError::NameConstraints, "move the file away"),
            (CaError::CriticalExtension("1.2.3.4".into()), "move the file away"),
            (CaError::NoSubject, "move the file away"),
            (CaError::NotYetValid { from: UNIX_EPOCH }, "correct the clock"),
            (CaError::Expired { until: UNIX_EPOCH }, "move the file away"),
        ];
        for (cause, remedy) in cases {
            let line = error_line(&Error::Ca { path: "/ca".into(), cause });
            assert!(line.starts_with("cannot use the CA /ca: ") && line.contains("; "), "{line}");
            assert!(line.contains(remedy) && !line.contains('\n'), "{line}");
        }
        // The system provides no random bytes: no option helps.
        assert_eq!(for_ca(&CaError::Generate("no random bytes".into())), None);
    }

    #[test]
    fn an_output_error_names_the_directory_and_the_option() {
        let line = |cause| error_line(&Error::Output { path: "/x/y.zip".into(), cause });
        let create = |kind| OutputError::Create { directory: "/x".into(), cause: system(kind) };
        assert_eq!(
            line(create(ErrorKind::NotFound)),
            "cannot write /x/y.zip: the directory /x does not exist; create it, or choose another file with -o"
        );
        assert_eq!(
            line(create(ErrorKind::PermissionDenied)),
            "cannot write /x/y.zip: permission denied in the directory /x; choose another file with -o"
        );
        assert_eq!(line(OutputError::IsDirectory), "cannot write /x/y.zip: it is a directory; name a file with -o");
        for cause in [
            OutputError::NoFileName,
            OutputError::NotAFile,
            OutputError::DanglingLink(system(ErrorKind::NotFound)),
            create(ErrorKind::NotADirectory),
            create(ErrorKind::ReadOnlyFilesystem),
        ] {
            assert!(for_output(&cause).unwrap().contains("-o"), "{cause}");
        }
        let too_many = OutputError::TooManyUnfinished { directory: "/x".into() };
        assert!(for_output(&too_many).unwrap().contains("delete"));
        assert_eq!(for_output(&create(ErrorKind::StorageFull)), None);
    }

    #[test]
    fn a_reason_has_a_remedy_only_where_it_helps() {
        let remedy = |reason| for_reason(&reason, "a.test", None, Refusing::Fails).unwrap_or_default();
        let trusts = |distrust| remedy(Reason::OriginNotTrusted(distrust)).contains("--upstream-ca");
        assert!(trusts(Distrust::UnknownIssuer) && trusts(Distrust::CaCertificate));
        assert!(!trusts(Distrust::Flaw("its certificate expired".into())));
        // An origin without a cipher suite in common answers with either.
        let old = "only TLS 1.2 and 1.3 with modern cipher suites can be intercepted";
        for cause in
            ["no version, cipher suite or group in common", "alert handshake_failure", "alert protocol_version"]
        {
            assert_eq!(remedy(Reason::OriginTls(cause.into())), old);
        }
        assert_eq!(remedy(Reason::OriginTls("alert internal_error".into())), "");
        assert!(remedy(Reason::MayNeedClientCertificate).ends_with("-e a.test"));
        assert!(remedy(Reason::Renegotiated).ends_with("-e a.test"));
        // The request may be optional.
        assert_eq!(remedy(Reason::Opaque(Opaque::MemoryLimit)), "raise the limit with --memory");
        assert_eq!(remedy(Reason::Opaque(Opaque::LimitExceeded)), "");
        assert!(!remedy(Reason::ClientCertificate).contains("cannot"));
    }

    #[test]
    fn an_option_is_suggested_only_where_the_command_has_it_and_it_changes_something() {
        let config = |passes| {
            let mut config = Config::capture("x.zip");
            config.capture_options_mut().unwrap().passthrough_refused = passes;
            config
        };
        let plain = "make the app trust /ca.pem, or exclude the host with -e a.test";
        let failed = format!("its first connection failed: {plain}");
        for (client, passes, of_refused, of_passed) in [
            (Client::App, false, format!("{plain}{HINT_TO_PASS}"), None),
            (Client::App, true, plain.into(), Some(failed.clone())),
            (Client::Command, false, plain.into(), None),
            (Client::Command, true, plain.into(), Some(format!("{failed}{HINT_NOT_TO_PASS}"))),
        ] {
            let refusing = Refusing::new(client, &config(passes));
            let remedy = |reason| for_reason(&reason, "a.test", Some(Path::new("/ca.pem")), refusing);
            for reason in [Reason::CertificateRefused("x".into()), Reason::ClientLeft, Reason::LeftUnanswered] {
                assert_eq!(remedy(reason).as_ref(), Some(&of_refused));
            }
            if of_passed.is_some() {
                assert_eq!(remedy(Reason::RefusedBefore), of_passed);
            }
        }
    }

    #[test]
    fn a_listen_error_names_the_option_to_change() {
        let addr: SocketAddr = ([127, 0, 0, 1], 8080).into();
        let line = |kind| error_line(&Error::Listen { addr, cause: system(kind) });
        assert_eq!(
            line(ErrorKind::AddrInUse),
            "cannot listen on 127.0.0.1:8080: the port is in use; choose another port with -p, or -p 0 for any free port"
        );
        assert!(line(ErrorKind::PermissionDenied).ends_with("permission denied; choose a port above 1023 with -p"));
        assert!(line(ErrorKind::AddrNotAvailable).ends_with("choose an address of this machine with --listen"));
    }
}
