//! Getting clients to trust the CA: certificate formats, environment variables, and per-platform guides.
//!
//! Used before traffic flows; `net`, `wire` and `record` import nothing from here.

pub(crate) mod environment;
pub(crate) mod guides;
pub(crate) mod p12;
