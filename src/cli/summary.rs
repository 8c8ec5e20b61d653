//! The summary at the end of a capture: the contents of the bundle, what was not captured, why, and the remedy.

use super::advice::{self, Client, Refusing};
use super::notices::ShownWarnings;
use super::text::{count, duration, escaped_lines, period, size};
use spectral_capture::{Bundles, Config, CutOffItems, Progress, Reason, Rotate, Summary, Uncaptured, Warning};
use std::fmt;
use std::path::Path;

/// Returns the summary of a capture of `client` with this configuration. `backups` are the lines about backups. Warnings in
/// `shown` are counted.
pub(crate) fn of_capture(
    summary: &Summary,
    client: Client,
    config: &Config,
    output: &Path,
    backups: Vec<String>,
    ca_cert: Option<&Path>,
    shown: &ShownWarnings,
) -> String {
    let mut lines = match &summary.bundle {
        Some(_) if config.capture_options().is_some_and(|capture| capture.rotate.is_some()) => {
            bundle_lines(&summary.bundles)
        }
        Some(bundle) => vec![format!("Capture bundle written to {}", bundle.display())],
        None if summary.not_replaced.is_some() => vec!["No bundle was written".to_owned()],
        None => match copy_of(summary) {
            Some(copy) => vec![format!("Capture bundle written to {}, not to {}", copy.display(), output.display())],
            None => vec![format!("The capture bundle {} could not be completed", output.display())],
        },
    };
    lines.push(counts_line(summary));
    lines.extend(backups);
    lines.extend(incomplete_lines(summary));
    lines.extend(warned_line(shown));
    lines.extend(host_lines(summary, Refusing::new(client, config), ca_cert));
    escaped_lines(&lines)
}

/// Returns the summary so far of a capture that goes on, whose unfinished bundle is `part`.
pub(crate) fn so_far(
    summary: &Summary,
    progress: &Progress,
    config: &Config,
    part: Option<&Path>,
    ca_cert: Option<&Path>,
) -> String {
    let mut lines = vec![so_far_line(progress), counts_line(summary)];
    let place = part.map_or("a file that was deleted or replaced".into(), |part| part.display().to_string());
    lines.push(format!("  {} in {place}", size(progress.bundle)));
    let open = count(progress.open as u64, "open connection");
    lines.push(format!("  {} relayed, {open}", size(progress.bytes)));
    lines.extend(incomplete_lines(summary));
    lines.extend(host_lines(summary, Refusing::new(Client::App, config), ca_cert));
    escaped_lines(&lines)
}

/// Returns the hosts that a discovery did not reach, and why.
pub(crate) fn of_discovery(summary: &Summary, config: &Config) -> String {
    let all: Vec<&Uncaptured> = summary.uncaptured.iter().collect();
    escaped_lines(&reason_lines("Not reached:", &all, Refusing::new(Client::App, config), None))
}

/// Returns the first line of a summary so far.
pub(crate) fn so_far_line(progress: &Progress) -> String {
    format!("Summary after {}:", duration(progress.elapsed.as_secs_f64() * 1000.0))
}

/// Returns the line that counts the contents of the bundle.
fn counts_line(summary: &Summary) -> String {
    let Summary { exchanges, websockets, messages, .. } = summary;
    let [exchanges, websockets] = [count(*exchanges, "exchange"), count(*websockets, "WebSocket")];
    format!("  {exchanges}, {websockets}, {}", count(*messages, "message"))
}

/// Returns the lines about items that are lost or incomplete.
fn incomplete_lines(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    match summary.lost {
        0 => {}
        1 => lines.push("  1 exchange or message could not be written and is lost".into()),
        lost => lines.push(format!("  {lost} exchanges or messages could not be written and are lost")),
    }
    match summary.truncated {
        0 => {}
        1 => lines.push("  1 body is truncated, since it could not be stored".into()),
        truncated => {
            lines.push(format!("  {} are truncated, since they could not be stored", count(truncated, "body")));
        }
    }
    lines.extend(cut_off_line(&summary.cut_off_exchanges, "exchange"));
    lines.extend(cut_off_line(&summary.cut_off_messages, "message"));
    lines.extend(unclosed_line(&summary.unclosed_websockets));
    lines
}

/// Returns the lines about hosts that were not captured, or not as without the proxy.
fn host_lines(summary: &Summary, refusing: Refusing, ca_cert: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    let (unmatched, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        summary.uncaptured.iter().partition(|it| matches!(it.reason, Reason::NotMatched | Reason::ExchangeExcluded));
    let (http3, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        failed.into_iter().partition(|it| it.reason == Reason::Http3Offered);
    // These were captured, but may differ from what the app receives without the proxy.
    let (hints, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        failed.into_iter().partition(|it| it.reason == Reason::MayNeedClientCertificate);
    for (title, listed) in [("Not captured:", failed), ("Captured, but perhaps changed by the proxy:", hints)] {
        lines.extend(reason_lines(title, &listed, refusing, ca_cert));
    }
    lines.extend(http3_lines(&http3.iter().map(|it| it.host.as_str()).collect::<Vec<_>>()));
    if !unmatched.is_empty() {
        lines.push("Passed through, excluded by -d or -e:".into());
        for uncaptured in unmatched.iter().take(MAX_LISTED_HOSTS) {
            let unit = if uncaptured.reason == Reason::ExchangeExcluded { "exchange" } else { "connection" };
            lines.push(format!("  {}  {}", uncaptured.host, count(uncaptured.connections, unit)));
        }
        lines.extend(omitted_line(unmatched.len()));
    }
    lines
}

/// Returns the lines about hosts that offer HTTP/3; none if there are no hosts.
fn http3_lines(hosts: &[&str]) -> Vec<String> {
    if hosts.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec!["Captured, but clients may bypass the proxy with HTTP/3 (QUIC), which these hosts offer:".to_owned()];
    lines.extend(hosts.iter().take(MAX_LISTED_HOSTS).map(|host| format!("  {host}")));
    lines.extend(omitted_line(hosts.len()));
    lines.push("      to prevent it, block UDP port 443, or disable HTTP/3 (QUIC) in the client".into());
    lines
}

/// Returns the lines about hosts, with reasons and remedies; none if there are no hosts.
fn reason_lines(title: &str, listed: &[&Uncaptured], refusing: Refusing, ca_cert: Option<&Path>) -> Vec<String> {
    if listed.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![title.to_owned()];
    for uncaptured in listed.iter().take(MAX_LISTED_HOSTS) {
        let connections = count(uncaptured.connections, "connection");
        lines.push(format!("  {}  {connections}: {}", uncaptured.host, uncaptured.reason));
        if let Some(remedy) = advice::for_uncaptured(uncaptured, ca_cert, refusing) {
            lines.push(format!("      {remedy}"));
        }
    }
    lines.extend(omitted_line(listed.len()));
    lines
}

/// Returns the lines about the bundles of a capture that rotates.
fn bundle_lines(bundles: &Bundles) -> Vec<String> {
    let Bundles { completed, deleted, unfinished, last, .. } = bundles;
    let mut first = format!("Capture written to {}", count(*completed, "bundle"));
    if *deleted > 0 {
        first
            .push_str(&format!(", of which {deleted} {} deleted (--keep)", if *deleted == 1 { "was" } else { "were" }));
    }
    let mut lines = vec![first];
    if *unfinished > 0 {
        lines.push(format!("  {} could not be completed", count(*unfinished, "bundle")));
    }
    let earlier = completed.saturating_sub(*deleted).saturating_sub(last.len() as u64);
    if earlier > 0 {
        lines.push(format!("  … {earlier} earlier"));
    }
    lines.extend(last.iter().map(|path| format!("  {}", path.display())));
    lines
}

/// Returns the output of a capture, as it is shown at the start: the path, or the paths and the limit of each bundle.
pub(crate) fn output_line(config: &Config, output: &Path) -> String {
    let capture = config.capture_options();
    let limit = match capture.and_then(|capture| capture.rotate) {
        Some(Rotate::Size(bytes)) => size(bytes),
        Some(Rotate::Time(time)) => period(time),
        _ => return output.display().to_string(),
    };
    let kept =
        capture.and_then(|capture| capture.keep).map(|keep| format!(", the last {keep} are kept")).unwrap_or_default();
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push("-NNNN");
    if let Some(extension) = output.extension() {
        name.push(".");
        name.push(extension);
    }
    format!("{}, a new one every {limit}{kept}", output.with_file_name(name).display())
}

/// Returns the line about items that were cut off, if there are any. `noun` is the name of one.
fn cut_off_line<T: fmt::Display>(items: &CutOffItems<T>, noun: &str) -> Option<String> {
    let verb = if items.count == 1 { "was" } else { "were" };
    (items.count > 0).then(|| format!("  {} {verb} cut off: {}", count(items.count, noun), listed(items)))
}

/// Returns the line about WebSockets without a close frame, if there are any.
fn unclosed_line<T: fmt::Display>(items: &CutOffItems<T>) -> Option<String> {
    let verb = if items.count == 1 { "has" } else { "have" };
    (items.count > 0).then(|| format!("  {} {verb} no close frame: {}", count(items.count, "WebSocket"), listed(items)))
}

/// Returns the ids of the first items, with the causes.
fn listed<T: fmt::Display>(items: &CutOffItems<T>) -> String {
    let mut listed: Vec<_> = items.first.iter().map(|(id, cut_off)| format!("{id} ({cut_off})")).collect();
    let omitted = items.count.saturating_sub(listed.len() as u64);
    if omitted > 0 {
        listed.push(format!("and {omitted} more"));
    }
    listed.join(", ")
}

/// Returns a line for each warning to show after the summary: those that are not in `shown`. If quiet, there is no summary, which
/// has the last numbers.
pub(crate) fn warning_lines(summary: &Summary, shown: &ShownWarnings, is_quiet: bool) -> String {
    let is_known = |warning: &Warning| shown.contains(warning) || (!is_quiet && shown.contains_earlier(warning));
    summary.warnings.iter().filter(|warning| !is_known(warning)).map(advice::warning_line).collect()
}

/// Returns the line of the summary that counts the warnings that were shown: it may have been hours ago.
fn warned_line(shown: &ShownWarnings) -> Option<String> {
    match shown.count() {
        0 => None,
        1 => Some("  1 warning was printed above".into()),
        number => Some(format!("  {} were printed above", count(number, "warning"))),
    }
}

/// Returns the path of a complete bundle that is not at its output path.
fn copy_of(summary: &Summary) -> Option<&Path> {
    summary.warnings.iter().find_map(|warning| match warning {
        Warning::BundleCopied { copy, .. } => Some(copy.as_path()),
        _ => None,
    })
}

/// Returns the error about a capture that recorded nothing, if it therefore left a bundle in place.
pub(crate) fn not_replaced(summary: &Summary) -> Option<String> {
    let kept = summary.not_replaced.as_ref()?;
    Some(format!("nothing was captured: {} is an earlier bundle, which was not replaced", kept.display()))
}

/// Returns true if the bundle, or each of several, was written and contains everything that was captured.
pub(crate) fn is_complete(summary: &Summary) -> bool {
    summary.bundle.is_some() && summary.bundles.unfinished == 0 && summary.lost == 0 && summary.truncated == 0
}

/// Returns the likely reasons if no connection reached the proxy, else an empty text.
pub(crate) fn hint(summary: &Summary, client: Client) -> &'static str {
    let is_empty = summary.exchanges == 0
        && summary.websockets == 0
        && summary.uncaptured.is_empty()
        && summary.domains.is_empty();
    match client {
        _ if !is_empty => "",
        Client::Command => NO_CONNECTION_OF_COMMAND,
        Client::Redirected => "Nothing was captured: no TCP connection of the command reached its destination.\n",
        Client::App => NO_CONNECTION_OF_APP,
    }
}

/// Returns the line that stands for the hosts past [`MAX_LISTED_HOSTS`], if there are any.
pub(crate) fn omitted_line(hosts: usize) -> Option<String> {
    let omitted = hosts.checked_sub(MAX_LISTED_HOSTS).filter(|&omitted| omitted > 0);
    omitted.map(|omitted| format!("  … and {omitted} more"))
}

const NO_CONNECTION_OF_COMMAND: &str = "\
Nothing was captured: no connection reached the proxy. Either the command made no request, or it
ignores the proxy variables. Known cases: Python's aiohttp without trust_env=True,
Go for loopback addresses, browsers. Try --all: see 'spectral capture run --help'.
";

const NO_CONNECTION_OF_APP: &str = "\
Nothing was captured: no connection reached the proxy. Either the app made no request, or it ignores
the proxy variables. Known cases: Python's aiohttp without trust_env=True, Node, Go for loopback
addresses, browsers. See 'spectral ca env --help' and 'spectral ca help --help'.
";

/// More hosts than this are only counted.
pub(crate) const MAX_LISTED_HOSTS: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::notices;
    use crate::cli::screen::Screen;
    use spectral_capture::Notice;

    #[test]
    fn cut_off_items_are_listed_up_to_a_limit() {
        let mut items = CutOffItems::default();
        assert_eq!(cut_off_line(&items, "exchange"), None);
        (items.count, items.first) = (1, vec![("t_0004".into(), "response reset by the origin")]);
        let line = cut_off_line(&items, "exchange").unwrap();
        assert_eq!(line, "  1 exchange was cut off: t_0004 (response reset by the origin)");
        items.count = 3;
        items.first.push(("t_0007".into(), "request ended early"));
        let line = cut_off_line(&items, "exchange").unwrap();
        let list = "t_0004 (response reset by the origin), t_0007 (request ended early), and 1 more";
        assert_eq!(line, format!("  3 exchanges were cut off: {list}"));
        assert_eq!(unclosed_line(&items), Some(format!("  3 WebSockets have no close frame: {list}")));
    }

    #[test]
    fn hosts_that_offer_http3_are_listed_with_one_remedy() {
        assert!(http3_lines(&[]).is_empty());
        let lines = http3_lines(&["a.test:443", "b.test:443"]);
        assert!(lines[0].starts_with("Captured, but clients may bypass the proxy with HTTP/3 (QUIC)"), "{lines:?}");
        assert_eq!(lines[1..3], ["  a.test:443", "  b.test:443"]);
        assert!(lines[3].contains("block UDP port 443") && lines.len() == 4, "{lines:?}");
    }

    #[test]
    fn the_bundles_of_a_capture_that_rotates_are_listed() {
        let mut bundles = Bundles::default();
        (bundles.completed, bundles.last) = (1, vec!["a-0001.zip".into()]);
        assert_eq!(bundle_lines(&bundles), ["Capture written to 1 bundle", "  a-0001.zip"]);
        (bundles.completed, bundles.deleted, bundles.unfinished) = (30, 9, 2);
        bundles.last = (29..=30).map(|n| format!("a-00{n}.zip").into()).collect();
        let expected = [
            "Capture written to 30 bundles, of which 9 were deleted (--keep)",
            "  2 bundles could not be completed",
            "  … 19 earlier",
            "  a-0029.zip",
            "  a-0030.zip",
        ];
        assert_eq!(bundle_lines(&bundles), expected);
        let mut summary = Summary::default();
        summary.bundle = Some("a-0030.zip".into());
        assert!(is_complete(&summary));
        summary.bundles = bundles;
        assert!(!is_complete(&summary));
    }

    #[test]
    fn the_output_line_shows_how_bundles_are_named() {
        let mut config = Config::capture("out/x.zip");
        let line = |config: &Config| output_line(config, Path::new("out/x.zip"));
        assert_eq!(line(&config), "out/x.zip");
        config.capture_options_mut().unwrap().rotate = Some(Rotate::Size(100 << 20));
        assert_eq!(line(&config), "out/x-NNNN.zip, a new one every 105 MB");
        let capture = config.capture_options_mut().unwrap();
        capture.rotate = Some(Rotate::Time(std::time::Duration::from_secs(600)));
        capture.keep = std::num::NonZeroU32::new(3);
        assert_eq!(line(&config), "out/x-NNNN.zip, a new one every 10 min, the last 3 are kept");
    }

    #[test]
    fn each_warning_is_shown_once_and_counted() {
        let mut summary = Summary::default();
        summary.warnings = vec![
            Warning::OutputShared { path: "a.zip.2.part".into() },
            Warning::Leftover { path: "a.zip.part".into() },
            Warning::WriteFailed { count: 1, cause: "disk full".into() },
        ];
        let lines = |shown: &ShownWarnings| {
            let lines = warning_lines(&summary, shown, true).lines().map(str::to_owned).collect::<Vec<_>>();
            (lines, warned_line(shown))
        };
        let shown = ShownWarnings::default();
        let (all, counted) = lines(&shown);
        let [shared, leftover, failed] = <[String; 3]>::try_from(all).unwrap();
        assert_eq!(counted, None);
        assert!(shared.contains("a.zip.2.part") && leftover.contains("a.zip.part is left over"), "{leftover}");
        let show = |warning: Warning| notices::show(&Screen::new(true), &Notice::Warning(warning), false, &shown);
        // The other capture was still running.
        show(Warning::OutputShared { path: "a.zip.part".into() });
        show(Warning::OutputShared { path: "a.zip.2.part".into() });
        assert_eq!(lines(&shown), (vec![failed], Some("  2 warnings were printed above".into())));
        show(Warning::WriteFailed { count: 1, cause: "disk full".into() });
        assert_eq!(lines(&shown), (vec![], Some("  3 warnings were printed above".into())));
        // More were lost since.
        summary.warnings = vec![Warning::WriteFailed { count: 2, cause: "disk full".into() }];
        assert!(warning_lines(&summary, &shown, true).contains("2 exchanges"));
        assert_eq!(warning_lines(&summary, &shown, false), "", "the summary has the number");
        assert_eq!(warned_line(&shown).as_deref(), Some("  3 warnings were printed above"));
    }
}
