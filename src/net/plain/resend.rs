//! A request that may be sent again on a new connection.
//!
//! An origin may close a kept connection at the moment at which a request is sent on it (RFC 9112 section 9.3.1). Nothing
//! shows whether it has processed the request, so only requests are sent again that may be processed twice.

use crate::net::resources::Resources;
use crate::record::account::Account;
use crate::wire::message::RequestHead;

/// The bytes of a request without a body whose method is idempotent.
pub(super) struct Resend {
    pub(super) wire: Vec<u8>,
    /// Charged for `wire`.
    _account: Account,
}

impl Resend {
    /// Keeps the bytes `wire` of the request `head`, which has no body; `None` if they must not be sent again, or if there
    /// is no memory for them.
    pub(super) fn new(head: &RequestHead, wire: Vec<u8>, resources: &Resources) -> Option<Self> {
        let mut account = Account::new(&resources.recording);
        (is_idempotent(&head.method) && account.set(wire.capacity())).then_some(Self { wire, _account: account })
    }
}

/// Returns true if a request with `method` may be repeated (RFC 9110 section 9.2.2).
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}
