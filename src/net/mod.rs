//! Sockets, threads, TLS. Code here may wait; it does not parse protocols, which is the work of `wire`.
//!
//! A connection, from left to right; `serving` runs it on a thread of the pool, moves it to `idle` while nothing happens,
//! and resumes it:
//!
//! ```text
//!             connection
//!             ┌───────┬─▶ own_page, response
//! listener ─▶ request ├─▶ plain ─▶ origin_tls ─▶ upstream ──────────────────────────▶ relay
//! (thread)    (pool)  └─▶ upstream ─▶ reply ─▶ first_flight ─┬─▶ intercept ─┬─▶ tunnel ─▶ relay
//!                         dial, proxy_dialogue               └──────────────┘             two legs,
//!                                                                                         one poll(2)
//! ```
//!
//! Below them: `leg` (one side: socket, TLS, `outbox`, `splice`), `tls`, `handshake`, `sys` (POSIX calls), `intercepted_client` (does
//! it accept our certificate). What connections share: `shared` (settings and state), `refusals` and
//! `passthrough_cache` (what is known about clients and origins), `resources` (thread pool, buffer pool, budget of
//! unsent bytes), `stop` and `tick` (events for all waits), `live` (their number), `own_sockets` (connections to origins, to find
//! redirects in a loop).
//!
//! No two files import each other, directly or through others.

pub(crate) mod alpn;
pub(crate) mod arenas;
pub(crate) mod budget;
pub(crate) mod buffer_pool;
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod first_flight;
pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod intercept;
pub(crate) mod intercepted_client;
pub(crate) mod key_log;
pub(crate) mod leg;
pub(crate) mod listener;
pub(crate) mod listening;
pub(crate) mod live;
pub(crate) mod origin_tls;
pub(crate) mod outbox;
pub(crate) mod own_page;
pub(crate) mod own_sockets;
pub(crate) mod passthrough_cache;
pub(crate) mod plain;
pub(crate) mod proxy_dialogue;
pub(crate) mod refusals;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod resources;
pub(crate) mod response;
pub(crate) mod serving;
pub(crate) mod shared;
pub(crate) mod splice;
pub(crate) mod stop;
pub(crate) mod sys;
pub(crate) mod thread_pool;
pub(crate) mod tick;
pub(crate) mod timeouts;
pub(crate) mod tls;
pub(crate) mod tunnel;
pub(crate) mod upstream;
