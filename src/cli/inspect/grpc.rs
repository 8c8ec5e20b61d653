//! gRPC calls: the mark of a failed one in the list, the messages and the trailers of one that is shown.

use crate::cli::command_error::CommandError;
use crate::cli::text::{count, escape};
use spectral_capture::grpc::{GrpcMessages, GrpcStatus, is_grpc};
use spectral_capture::reader::{Bundle, Trace};
use std::io::{self, Write};

/// Returns the mark of a call in the list, whose HTTP status is 200 also if it failed: `gRPC 5 NOT_FOUND: no such user`. It is not
/// escaped.
pub(super) fn mark(bundle: &Bundle, trace: &Trace) -> Option<String> {
    // A body that cannot be read does not end the list.
    match GrpcStatus::of(bundle, trace) {
        Ok(Some(GrpcStatus { code: 0, .. })) | Err(_) => None,
        Ok(Some(status)) => Some(format!("gRPC {status}")),
        Ok(None) => {
            let is_missing =
                is_grpc(&trace.response.headers) && trace.response.status == 200 && trace.cut_off.is_none();
            is_missing.then(|| "no gRPC status".into())
        }
    }
}

/// Shows the number of messages in a body, if it is one of gRPC.
pub(super) fn show_messages(messages: Option<&GrpcMessages>, out: &mut dyn Write) -> io::Result<()> {
    match messages {
        Some(messages) if *messages != GrpcMessages::default() => writeln!(out, "{}", line(messages)),
        _ => Ok(()),
    }
}

fn line(messages: &GrpcMessages) -> String {
    let mut line = format!("gRPC: {}", count(messages.count, "message"));
    if messages.compressed > 0 {
        line.push_str(&format!(", {} compressed", messages.compressed));
    }
    if messages.is_truncated {
        line.push_str(", then one that is incomplete");
    }
    if messages.is_malformed {
        line.push_str(", then a malformed frame");
    }
    line
}

/// Shows the status of a call, in words.
pub(super) fn show_status(bundle: &Bundle, trace: &Trace, out: &mut dyn Write) -> Result<(), CommandError> {
    match GrpcStatus::of(bundle, trace)? {
        Some(status) => Ok(writeln!(out, "\ngRPC status {}", escape(&status.to_string()))?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        let mut messages = GrpcMessages::default();
        let shown = |messages: &GrpcMessages| {
            let mut out = Vec::new();
            show_messages(Some(messages), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&messages), "");
        messages.count = 1;
        assert_eq!(shown(&messages), "gRPC: 1 message\n");
        (messages.count, messages.compressed, messages.is_truncated) = (1200, 3, true);
        assert_eq!(shown(&messages), "gRPC: 1,200 messages, 3 compressed, then one that is incomplete\n");
        (messages.compressed, messages.is_truncated, messages.is_malformed) = (0, false, true);
        assert_eq!(shown(&messages), "gRPC: 1,200 messages, then a malformed frame\n");
    }
}
