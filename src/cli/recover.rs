//! `spectral capture recover`: a bundle of what a capture left that did not end.

use super::advice;
use super::text::{count, escape, grouped};
use spectral_capture::recover::{Recovered, from_part};
use std::io::{self, Write};
use std::path::Path;

/// Recovers what `part` holds and says what that is.
pub(crate) fn recover(part: &Path, output: Option<&Path>, out: &mut dyn Write) -> Result<(), String> {
    let recovered = from_part(part, output).map_err(|e| advice::recover_error_line(&e))?;
    match out.write_all(said(part, &recovered).as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {e}")),
        _ => Ok(()),
    }
}

fn said(part: &Path, recovered: &Recovered) -> String {
    let Recovered { output, exchanges, websockets, messages, cut_off, left_out, is_alive, .. } = recovered;
    let mut lines = vec![format!(
        "Recovered to {}: {}, {}, {}",
        output.display(),
        count(*exchanges, "HTTP trace"),
        count(*websockets, "WS connection"),
        count(*messages, "WS message"),
    )];
    if *is_alive {
        lines.push(format!("  A capture is still writing {}: this is what it held just now", part.display()));
    } else if *cut_off > 0 {
        lines.push(match cut_off {
            1 => "  The last byte of the file belongs to an exchange or message that was cut off".into(),
            n => format!(
                "  The last {} bytes of the file belong to exchanges or messages that were cut off",
                grouped(*n)
            ),
        });
    }
    match left_out {
        0 => {}
        1 => lines.push("  1 entry is damaged, or belongs to one that is, and was left out".into()),
        n => {
            lines.push(format!("  {} entries are damaged, or belong to some that are, and were left out", grouped(*n)))
        }
    }
    lines.push(format!("  {} stays as it is; remove it when it is not needed any more", part.display()));
    lines.iter().map(|line| format!("{}\n", escape(line))).collect()
}
