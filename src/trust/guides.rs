//! What to do on each platform so that an app trusts our CA and goes through the proxy: shown by `spectral ca help` and by the proxy's
//! own page, and written once.
//!
//! In a step, `code` stands in backquotes (with a blank in it, it is a command to be copied); `{ca}`, `{proxy}`, `{host}` and `{port}` stand for what is known where it is shown.

use std::net::{Ipv4Addr, SocketAddr};

/// What to do on one platform.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrustGuide {
    /// How it is asked for, `ios`.
    pub name: &'static str,
    /// What it is called, `iOS and iPadOS`.
    pub title: &'static str,
    steps: &'static [&'static str],
}

impl TrustGuide {
    /// The steps, in their order, for a CA in the file `ca` and a proxy that listens on `proxy`.
    pub fn steps(&self, ca: &str, mut proxy: SocketAddr) -> impl Iterator<Item = String> {
        if proxy.ip().is_unspecified() {
            // No client connects to it. The steps that name an address are for this machine's own programs.
            proxy.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let known = [
            ("{ca}", ca.to_owned()),
            ("{proxy}", format!("http://{proxy}")),
            ("{host}", proxy.ip().to_string()),
            ("{port}", proxy.port().to_string()),
        ];
        self.steps
            .iter()
            .map(move |step| known.iter().fold((*step).to_owned(), |step, (blank, value)| step.replace(blank, value)))
    }
}

/// All that are known, in the order in which people ask for them.
pub const TRUST_GUIDES: &[TrustGuide] = &[
    TrustGuide {
        name: "firefox",
        title: "Firefox",
        steps: &[
            "Settings, Privacy & Security, Certificates, View Certificates, tab Authorities, Import: choose `{ca}` and tick \"Trust this CA to identify websites\".",
            "Settings, General, Network Settings, Manual proxy configuration: HTTP Proxy `{host}`, Port `{port}`, and tick \"Also use this proxy for HTTPS\".",
            "For sites on this machine itself, set `network.proxy.allow_hijacking_localhost` to true in `about:config`.",
            "Afterwards delete the certificate in the same window.",
        ],
    },
    TrustGuide {
        name: "chrome",
        title: "Chrome, Chromium, Edge",
        steps: &[
            "On macOS: `spectral ca install`. On Windows: open the .cer file, Install Certificate, Current User, Trusted Root Certification Authorities.",
            "On Linux: `certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n spectral -i {ca}` (certutil is in libnss3-tools or nss-tools).",
            "Start it through the proxy, with a profile of its own: `google-chrome --user-data-dir=/tmp/spectral-chrome --proxy-server={proxy} --proxy-bypass-list='<-loopback>'`. The last option sends sites on this machine through the proxy too.",
            "Afterwards, on Linux: `certutil -d sql:$HOME/.pki/nssdb -D -n spectral`.",
        ],
    },
    TrustGuide {
        name: "ios",
        title: "iPhone and iPad",
        steps: &[
            "Start the proxy where the device can reach it: `spectral capture proxy --listen 0.0.0.0`, in a network that you trust.",
            "Settings, Wi-Fi, the (i) of your network, Configure Proxy, Manual: the address of the machine with the proxy, Port `{port}`.",
            "In Safari open `http://mitm.it/`, choose the profile, and allow the download.",
            "Settings, General, VPN & Device Management, Downloaded Profile, Install.",
            "Settings, General, CertificateDetails, Certificate Trust Settings: switch the certificate on. Without it nothing is trusted.",
            "Afterwards remove the profile and set Configure Proxy to Off. Apps that pin their certificates cannot be captured.",
        ],
    },
    TrustGuide {
        name: "android",
        title: "Android",
        steps: &[
            "Start the proxy where the device can reach it: `spectral capture proxy --listen 0.0.0.0`, in a network that you trust.",
            "Settings, Network & internet, Wi-Fi, your network, Edit, Advanced options, Proxy, Manual: the address of the machine with the proxy, Port `{port}`. For an emulator: `emulator -http-proxy {proxy}`.",
            "In the browser open `http://mitm.it/` and download the .cer file.",
            "Settings, Security, More security settings, Encryption & credentials, Install a certificate, CA certificate, Install anyway: choose the file. Names differ between makers; search the settings for \"CA certificate\".",
            "Browsers trust it then. Apps since Android 7 do so only if they opt in: in a debug build of yours, `<debug-overrides><trust-anchors><certificates src=\"user\"/></trust-anchors></debug-overrides>` in the network security configuration.",
            "Afterwards remove it under Trusted credentials, tab User, and set Proxy to None.",
        ],
    },
    TrustGuide {
        name: "java",
        title: "Java",
        steps: &[
            "For programs that you start there is nothing to set up: `spectral capture run -- java …`.",
            "By hand, add the CA to the Java that runs: `keytool -importcert -noprompt -cacerts -storepass changeit -alias spectral -file {ca}`.",
            "Start the program with `-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} -Dhttp.nonProxyHosts=`.",
            "Afterwards: `keytool -delete -cacerts -storepass changeit -alias spectral`.",
        ],
    },
    TrustGuide {
        name: "wsl",
        title: "Windows programs from WSL",
        steps: &[
            "Programs inside WSL are as on any Linux: `spectral capture run -- COMMAND`, or `spectral ca install` inside of it. What follows is for programs of Windows.",
            "Copy the certificate to where Windows sees it: `cp {ca} /mnt/c/Users/Public/spectral.cer`.",
            "Have your Windows user trust it: `certutil.exe -user -addstore Root 'C:\\Users\\Public\\spectral.cer'`, and confirm.",
            "Windows Settings, Network & internet, Proxy, Manual proxy setup: `{host}`, Port `{port}`. WSL 2 hands ports of localhost through.",
            "Afterwards: `certutil.exe -user -delstore Root` and the serial number that `certutil.exe -user -store Root` shows for it; switch the proxy off.",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_is_filled_in_and_code_ends() {
        for platform in TRUST_GUIDES {
            let steps: Vec<_> = platform.steps("/ca.pem", ([0, 0, 0, 0], 8080).into()).collect();
            assert!((3..8).contains(&steps.len()), "{}", platform.name);
            for step in steps {
                assert!(!step.contains('{') && step.matches('`').count() % 2 == 0, "{step}");
                assert!(!step.contains("http://0.0.0.0"), "{step}");
                assert!(step.ends_with(['.', '!', ')']), "{step}");
            }
        }
    }
}
