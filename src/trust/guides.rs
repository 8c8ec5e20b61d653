//! Guides per platform: the steps that make apps trust the CA and use the proxy.
//!
//! `spectral ca help` and the proxy's own page show them.
//!
//! In a step, code is in backquotes. Code that contains a space is a command to copy. `{ca}`, `{proxy}`, `{host}` and `{port}`
//! are replaced by the CA's file and the proxy's address.

use std::net::{Ipv4Addr, SocketAddr};

/// The steps for one platform.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrustGuide {
    /// The name on the command line, for example `ios`.
    pub name: &'static str,
    /// The title, for example `iPhone and iPad`.
    pub title: &'static str,
    steps: &'static [&'static str],
}

impl TrustGuide {
    /// Returns the steps in order, for a CA in the file `ca` and a proxy that listens on `proxy`.
    pub fn steps(&self, ca: &str, mut proxy: SocketAddr) -> impl Iterator<Item = String> {
        if proxy.ip().is_unspecified() {
            // Clients cannot connect to this address. The steps that contain it are for programs on this machine.
            proxy.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let values = [
            ("{ca}", ca.to_owned()),
            ("{proxy}", format!("http://{proxy}")),
            ("{host}", proxy.ip().to_string()),
            ("{port}", proxy.port().to_string()),
        ];
        self.steps.iter().map(move |step| {
            values.iter().fold((*step).to_owned(), |step, (placeholder, value)| step.replace(placeholder, value))
        })
    }
}

/// All guides, most requested first.
pub const TRUST_GUIDES: &[TrustGuide] = &[
    TrustGuide {
        name: "firefox",
        title: "Firefox",
        steps: &[
            "Open Settings, Privacy & Security, Certificates, View Certificates, tab Authorities, Import. Choose `{ca}` and tick \"Trust this CA to identify websites\".",
            "Open Settings, General, Network Settings, Manual proxy configuration. Enter HTTP Proxy `{host}`, Port `{port}`, and tick \"Also use this proxy for HTTPS\".",
            "To capture sites on this machine, set `network.proxy.allow_hijacking_localhost` to true in `about:config`.",
            "Afterwards delete the certificate in the same window, and restore the proxy setting.",
        ],
    },
    TrustGuide {
        name: "chrome",
        title: "Chrome, Chromium, Edge",
        steps: &[
            "On macOS: `spectral ca install`. On Windows: open `mitmproxy-ca-cert.cer` and choose Install Certificate, Current User, Trusted Root Certification Authorities.",
            "On Linux: `certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n spectral -i {ca}` (certutil is in the package libnss3-tools or nss-tools).",
            "Start the browser with the proxy and a separate profile: `google-chrome --user-data-dir=/tmp/spectral-chrome --proxy-server={proxy} --proxy-bypass-list='<-loopback>'`. The last option also captures sites on this machine.",
            "Afterwards, on Linux: `certutil -d sql:$HOME/.pki/nssdb -D -n spectral`. On macOS: `spectral ca uninstall`.",
        ],
    },
    TrustGuide {
        name: "ios",
        title: "iPhone and iPad",
        steps: &[
            "Start the proxy so that the device can reach it, in a network that you trust: `spectral capture proxy --listen 0.0.0.0`.",
            "On the device, open Settings, Wi-Fi, the (i) of your network, Configure Proxy, Manual. Enter the address of the machine with the proxy, and Port `{port}`.",
            "In Safari open `http://mitm.it/`, choose the profile, and allow the download.",
            "Open Settings, General, VPN & Device Management, Downloaded Profile, and choose Install.",
            "Open Settings, General, About, Certificate Trust Settings, and switch the certificate on. Without this step no app trusts it.",
            "Afterwards remove the profile and set Configure Proxy to Off. Apps that pin their certificates cannot be captured.",
        ],
    },
    TrustGuide {
        name: "android",
        title: "Android",
        steps: &[
            "Start the proxy so that the device can reach it, in a network that you trust: `spectral capture proxy --listen 0.0.0.0`.",
            "On the device, open Settings, Network & internet, Wi-Fi, your network, Edit, Advanced options, Proxy, Manual. Enter the address of the machine with the proxy, and Port `{port}`. For an emulator: `emulator -http-proxy {proxy}`.",
            "In the browser open `http://mitm.it/` and download the .cer file.",
            "Open Settings, Security, More security settings, Encryption & credentials, Install a certificate, CA certificate, Install anyway, and choose the file. These names differ between manufacturers: search the settings for \"CA certificate\".",
            "Browsers now trust the CA. Apps for Android 7 and later trust it only if they opt in. In a debug build of your own app, add this to the network security configuration: `<debug-overrides><trust-anchors><certificates src=\"user\"/></trust-anchors></debug-overrides>`.",
            "Afterwards remove the certificate under Trusted credentials, tab User, and set Proxy to None.",
        ],
    },
    TrustGuide {
        name: "java",
        title: "Java",
        steps: &[
            "A program that you start with `spectral capture run -- java …` needs no setup.",
            "For other programs, add the CA to the Java installation that runs them: `keytool -importcert -noprompt -cacerts -storepass changeit -alias spectral -file {ca}`.",
            "Start the program with `-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} -Dhttp.nonProxyHosts=`.",
            "Afterwards: `keytool -delete -cacerts -storepass changeit -alias spectral`.",
        ],
    },
    TrustGuide {
        name: "wsl",
        title: "Windows programs from WSL",
        steps: &[
            "Programs inside WSL are captured as on any Linux: use `spectral capture run -- COMMAND`, or `spectral ca install` inside WSL. The next steps are for Windows programs.",
            "Copy the certificate to a folder that Windows can read: `cp {ca} /mnt/c/Users/Public/spectral.cer`.",
            "Make your Windows user trust it, and confirm: `certutil.exe -user -addstore Root 'C:\\Users\\Public\\spectral.cer'`.",
            "Open Windows Settings, Network & internet, Proxy, Manual proxy setup. Enter `{host}` and Port `{port}`. WSL 2 forwards localhost ports.",
            "Afterwards switch the proxy off. Find the certificate's serial number with `certutil.exe -user -store Root`, and append it to this command: `certutil.exe -user -delstore Root`.",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_no_placeholders_and_closed_backquotes() {
        for guide in TRUST_GUIDES {
            let steps: Vec<_> = guide.steps("/ca.pem", ([0, 0, 0, 0], 8080).into()).collect();
            assert!((3..8).contains(&steps.len()), "{}", guide.name);
            for step in steps {
                assert!(!step.contains('{') && step.matches('`').count() % 2 == 0, "{step}");
                assert!(!step.contains("http://0.0.0.0"), "{step}");
                assert!(step.ends_with(['.', '!', ')']), "{step}");
            }
        }
    }
}
