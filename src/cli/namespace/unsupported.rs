//! Systems without namespaces refuse `--all`.

use super::process::{Child, Inherited};
use spectral_capture::Environment;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;

/// Does not exist here.
pub(crate) struct Namespace {
    never: Infallible,
    pub(crate) only_ports: &'static [u16],
}

impl Namespace {
    pub(crate) fn new(_: Option<PathBuf>, _: bool) -> Result<(Self, Vec<TcpListener>), String> {
        Err("--all needs Linux: omit it".into())
    }

    pub(crate) fn start(&self, _: PathBuf, _: Vec<OsString>, _: Environment, _: Inherited) -> io::Result<Child> {
        match self.never {}
    }

    pub(crate) fn connect(&self, _: SocketAddr) -> io::Result<TcpStream> {
        match self.never {}
    }

    pub(crate) fn refused(&self) -> Vec<(u16, u64)> {
        match self.never {}
    }

    pub(crate) fn processes(&self) -> usize {
        match self.never {}
    }
}
