//! Decides by its name whether a field holds a secret.
//!
//! ```text
//! access_token, accessToken, Access-Token, oauth[access_token]   ─▶ secret: the words end in "token"
//! max_tokens, nextPageToken, tokenize                            ─▶ not secret
//! objectKey                                                      ─▶ secret if the value looks random
//! ```
//!
//! A user's names are compared with the whole name or its last part, without separators and case. The default list is compared
//! with the end of the name, since people put words before: `user_password`, `x-goog-signature`.

use super::Rules;
use super::leaf::Place;
use std::collections::HashSet;

/// The conclusion from a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A user gave the name. Values are secret, also short numbers.
    Named,
    /// Values are secret.
    Secret,
    /// Values are secret if they look random: the name ends in "key".
    Key,
    /// Values are kept, but the name resembles that of a secret.
    Suspicious,
    Plain,
}

/// The names of secrets, normalized.
pub(super) struct Names {
    everywhere: HashSet<String>,
    headers: HashSet<String>,
    parameters: HashSet<String>,
    json: HashSet<String>,
    has_default: bool,
}

impl Names {
    pub(super) fn new(rules: &Rules) -> Self {
        let normalized = |names: &[String]| names.iter().map(|name| joined(name)).collect();
        Self {
            everywhere: normalized(&rules.names),
            headers: normalized(&rules.headers),
            parameters: normalized(&rules.query),
            json: normalized(&rules.json),
            has_default: !rules.only_named,
        }
    }

    /// Returns the conclusion for a value called `name`.
    pub(super) fn verdict(&self, place: Place, name: &str) -> Verdict {
        if name.is_empty() {
            return Verdict::Plain;
        }
        if self.names(place, name) {
            return Verdict::Named;
        }
        let last = last_part(name);
        match by_words(&words(last), &joined(last)) {
            Verdict::Secret | Verdict::Key if !self.has_default => Verdict::Suspicious,
            verdict => verdict,
        }
    }

    /// Returns the conclusion for user information in a URL.
    pub(super) fn userinfo(&self) -> Verdict {
        if self.has_default { Verdict::Secret } else { Verdict::Suspicious }
    }

    /// True if everything in an object or element called `name` is secret.
    pub(super) fn is_secret_container(&self, place: Place, name: &str) -> bool {
        // A session is often an object with a user and settings.
        match self.verdict(place, name) {
            Verdict::Named => true,
            Verdict::Secret => words(name).last().is_none_or(|word| word != "session"),
            Verdict::Key | Verdict::Suspicious | Verdict::Plain => false,
        }
    }

    /// True if a user gave this name.
    fn names(&self, place: Place, name: &str) -> bool {
        let here: &[&HashSet<String>] = match place {
            Place::Header => &[&self.headers],
            Place::Parameter => &[&self.parameters, &self.json],
            Place::Url => &[&self.parameters],
            Place::Json | Place::Text => &[&self.json],
            Place::Cookie | Place::Markup | Place::Line => &[],
        };
        let sets = || here.iter().copied().chain([&self.everywhere]).filter(|set| !set.is_empty());
        if sets().next().is_none() {
            return false;
        }
        let (whole, last) = (joined(name), joined(last_part(name)));
        sets().any(|set| set.contains(&whole) || set.contains(&last))
    }
}

/// Returns true if the default list calls values of this name secret; `looks_random` decides for names that end in "key".
pub(in crate::tools) fn is_secret(name: &str, looks_random: bool) -> bool {
    let last = last_part(name);
    match by_words(&words(last), &joined(last)) {
        Verdict::Named | Verdict::Secret => true,
        Verdict::Key => looks_random,
        Verdict::Suspicious | Verdict::Plain => false,
    }
}

fn by_words(words: &[String], joined: &str) -> Verdict {
    let ends_in = |list: &[&str]| list.iter().any(|end| joined.ends_with(end));
    let last = words.last().map_or("", |word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    let has = |word: &str| words.iter().any(|known| known == word);
    let is_secret = ends_in(SECRET_ENDS)
        || SECRET_WORDS.contains(&last)
        || (words.iter().any(|word| ["password", "passwd"].contains(&word.trim_end_matches(char::is_numeric)))
            && words.iter().all(|word| PASSWORD_WORDS.contains(&word.trim_end_matches(char::is_numeric))));
    match is_secret {
        _ if ends_in(NOT_SECRET_ENDS) => suspicious_if(joined.contains("token")),
        true => Verdict::Secret,
        false if joined.ends_with("key") || joined.ends_with("keyid") => Verdict::Key,
        false => suspicious_if(
            SUSPICIOUS_PARTS.iter().any(|part| joined.contains(part)) || SUSPICIOUS_WORDS.iter().any(|word| has(word)),
        ),
    }
}

fn suspicious_if(is_suspicious: bool) -> Verdict {
    if is_suspicious { Verdict::Suspicious } else { Verdict::Plain }
}

/// Returns the last part of `user[password]`, `user.password`, `ns:password` or `passwords[0]` that is not a number.
fn last_part(name: &str) -> &str {
    let parts = name.split(['[', ']', '.', ':']).map(str::trim);
    parts.rev().find(|part| part.contains(|c: char| c.is_alphabetic())).unwrap_or(name)
}

/// Returns the letters and digits of `name`, in lower case.
fn joined(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the words of `name`, in lower case: "HTTPServerName" has "http", "server" and "name".
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = name.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let is_inner = !before.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase());
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_alphanumeric() && is_inner) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Ends of the names of secrets, without separators.
const SECRET_ENDS: &[&str] = &[
    "authorization",
    "cookie",
    "cookies",
    "token",
    "tokenhint",
    "tokenvalue",
    "secret",
    "secretvalue",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "accesskeyid",
    "secretkey",
    "privatekey",
    "authkey",
    "signingkey",
    "encryptionkey",
    "sharedkey",
    "subscriptionkey",
    "sessionid",
    "sessid",
    "sessionkey",
    "signature",
    "clientassertion",
    "samlresponse",
];

/// Last words of the names of secrets that are too short, or too usual within other words, for the list above.
const SECRET_WORDS: &[&str] = &["pwd", "sid", "sig", "jwt", "session", "csrf", "xsrf", "bearer"];

/// The words of names such as `new_password_confirmation`.
const PASSWORD_WORDS: &[&str] = &[
    "password",
    "passwd",
    "confirmation",
    "confirm",
    "repeat",
    "again",
    "new",
    "old",
    "current",
    "user",
    "hash",
    "hashed",
    "value",
];

/// Ends of names that end as those of secrets do, but hold positions in a list, public values or nonces.
const NOT_SECRET_ENDS: &[&str] = &[
    "pagetoken",
    "nexttoken",
    "previoustoken",
    "prevtoken",
    "continuationtoken",
    "synctoken",
    "canceltoken",
    "canceltokens",
    "publickey",
    "idempotencykey",
    "secwebsocketkey",
    "primarykey",
    "foreignkey",
    "partitionkey",
    "sortkey",
    "cachekey",
];

/// Parts of names that a person should look at.
const SUSPICIOUS_PARTS: &[&str] =
    &["token", "secret", "passw", "credential", "apikey", "session", "signature", "cookie", "bearer", "jwt"];

/// Words of names that a person should look at.
const SUSPICIOUS_WORDS: &[&str] = &["auth", "oauth", "pass", "pwd", "otp", "totp", "pin", "private", "saml"];

#[cfg(test)]
mod tests {
    use super::*;

    fn default_verdict(name: &str) -> Verdict {
        Names::new(&Rules::default()).verdict(Place::Json, name)
    }

    #[test]
    fn the_default_list_knows_secrets_in_every_spelling() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "cookie",
            "Set-Cookie",
            "api_key",
            "apiKey",
            "X-API-Key",
            "apikey",
            "access_token",
            "accessToken",
            "refresh-token",
            "idToken",
            "csrfmiddlewaretoken",
            "X-CSRF-Token",
            "_csrf",
            "secret",
            "clientSecret",
            "client_secret",
            "password",
            "passwd",
            "pwd",
            "user[password]",
            "user.password",
            "password_confirmation",
            "newPassword",
            "password2",
            "session",
            "sid",
            "connect.sid",
            "PHPSESSID",
            "JSESSIONID",
            "jwt",
            "X-Amz-Signature",
            "sig",
            "Signature",
            "privateKey",
            "ns:Password",
            "tokens[0].token",
            "X-Amz-Security-Token",
            "AWSAccessKeyId",
            "id_token_hint",
        ] {
            assert_eq!(default_verdict(name), Verdict::Secret, "{name}");
        }
    }

    #[test]
    fn exceptions_are_not_secret() {
        for name in
            ["max_tokens", "prompt_tokens", "nextPageToken", "page_token", "tokenize", "token_type", "secretary"]
        {
            assert_eq!(default_verdict(name), Verdict::Suspicious, "{name}");
        }
        for name in
            ["", "id", "author", "inside", "design", "keyboard", "publicKey", "Idempotency-Key", "monkey business"]
        {
            assert_eq!(default_verdict(name), Verdict::Plain, "{name}");
        }
        for name in ["key", "objectKey", "key_id", "x-functions-key"] {
            assert_eq!(default_verdict(name), Verdict::Key, "{name}");
        }
    }

    #[test]
    fn names_of_a_user_match_across_spellings_and_in_their_place() {
        let rules = Rules {
            names: vec!["user-id".into()],
            headers: vec!["x-one".into()],
            query: vec!["q".into()],
            json: vec!["Straße".into()],
            only_named: true,
            ..Rules::default()
        };
        let names = Names::new(&rules);
        for (place, name, expected) in [
            (Place::Json, "userId", Verdict::Named),
            (Place::Markup, "USER_ID", Verdict::Named),
            (Place::Parameter, "user[id]", Verdict::Named),
            (Place::Parameter, "a[user_id]", Verdict::Named),
            (Place::Json, "user_ids", Verdict::Plain),
            (Place::Header, "X-One", Verdict::Named),
            (Place::Json, "X-One", Verdict::Plain),
            (Place::Url, "q", Verdict::Named),
            (Place::Json, "q", Verdict::Plain),
            (Place::Json, "strasse", Verdict::Plain),
            (Place::Json, "STRAßE", Verdict::Named),
            (Place::Json, "password", Verdict::Suspicious),
            (Place::Header, "cookie", Verdict::Suspicious),
        ] {
            assert_eq!(names.verdict(place, name), expected, "{name}");
        }
    }

    #[test]
    fn splits_names_into_words() {
        for (name, expected) in [
            ("HTTPServerName", &["http", "server", "name"][..]),
            ("user_id-2 x", &["user", "id", "2", "x"]),
            ("aB", &["a", "b"]),
            ("ID", &["id"]),
            ("", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }
}
