//! The command of `--all`: it runs in namespaces, in which all its connections arrive at the proxy.

use crate::cli::advice;
use crate::cli::namespace::Namespace;
use crate::cli::process::{Child, Inherited};
use crate::cli::text::{count, escape, size};
use spectral_capture::{Config, Connector, Domain, Environment, Proxy, Reason, Summary, Transparent};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The namespaces. They are set once the proxy is bound.
pub(super) struct Redirected(Arc<OnceLock<Namespace>>);

impl Redirected {
    /// Binds a proxy inside new namespaces, in which `roots` are mounted over the system's. The proxy connects inside first, and then
    /// outside, which is within other such namespaces if `is_nested`.
    ///
    /// # Errors
    /// If the proxy cannot be bound, or the system allows no namespaces.
    pub(super) fn bind(config: &mut Config, roots: Option<PathBuf>, is_nested: bool) -> Result<(Proxy, Self), String> {
        let namespace = Arc::<OnceLock<Namespace>>::default();
        let inside = Arc::clone(&namespace);
        config.transparent = Transparent::OriginalDestination;
        config.connector = Connector::with_namespace(move |addr| match inside.get() {
            Some(namespace) => namespace.connect(addr),
            None => Err(io::ErrorKind::NotConnected.into()),
        });
        let mut refusal = None;
        let bound = Proxy::bind_with(config.clone(), || match Namespace::new(roots, is_nested) {
            Ok((created, listeners)) => {
                let _ = namespace.set(created);
                Ok(listeners)
            }
            Err(reason) => {
                refusal = Some(reason);
                Err(io::ErrorKind::Unsupported.into())
            }
        });
        let proxy = bound.map_err(|e| refusal.unwrap_or_else(|| advice::error_line(&e)))?;
        Ok((proxy, Self(namespace)))
    }

    /// Returns a warning if the kernel lacks what leads all connections to the proxy.
    pub(super) fn warning(&self) -> Option<String> {
        let ports = self.0.get()?.only_ports;
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        (!ports.is_empty()).then(|| {
            format!(
                "the kernel lacks nf_tables with TPROXY: only connections to the ports {} are possible and captured",
                ports.join(", ")
            )
        })
    }

    /// Starts the command inside.
    ///
    /// # Errors
    /// As [`Child::start`].
    pub(super) fn start(
        &self,
        program: PathBuf,
        args: Vec<OsString>,
        variables: Environment,
        inherited: Inherited,
    ) -> io::Result<Child> {
        match self.0.get() {
            Some(namespace) => namespace.start(program, args, variables, inherited),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Removes offers of HTTP/3 from the reports: it cannot be used.
    pub(super) fn adapt(&self, summary: &mut Summary) {
        summary.uncaptured.retain(|it| it.reason != Reason::Http3Offered);
    }

    /// Returns the lines about what was not captured, and what the command could not do.
    pub(super) fn lines(&self, summary: &Summary, has_bundle: bool) -> String {
        let Some(namespace) = self.0.get() else { return String::new() };
        let mut text = String::new();
        // A capture counts the bytes of these connections only.
        let counted = summary.domains.iter().filter(|domain| has_bundle && domain.sent.max(domain.received) > 0);
        for Domain { name, sent, received, .. } in counted.take(MAX_LISTED) {
            let [sent, received] = [size(*sent), size(*received)];
            text.push_str(&format!("Neither TLS nor HTTP: {}  {sent} sent, {received} received\n", escape(name)));
        }
        let refused = namespace.refused();
        if !refused.is_empty() {
            text.push_str("Rejected, since only TCP is captured:\n");
        }
        for (port, packets) in refused.iter().take(MAX_LISTED) {
            let name = match port {
                0 => "ping".to_owned(),
                443 => "UDP port 443 (QUIC)".to_owned(),
                port => format!("UDP port {port}"),
            };
            text.push_str(&format!("  {name}  {}\n", count(*packets, "packet")));
        }
        match namespace.processes() {
            0 => {}
            1 => text.push_str("1 background process of the command lost the network\n"),
            processes => text.push_str(&format!("{processes} background processes of the command lost the network\n")),
        }
        text
    }
}

/// A scan would have thousands.
const MAX_LISTED: usize = 30;
