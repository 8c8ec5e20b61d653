//! Compares texts before and after redaction.

use super::super::edits::{Edit, applied};
use super::super::search::Searcher;
use super::super::{Rules, fuzz};

/// Redacts texts in one run, and shows placeholders as `#`.
fn texts(texts: &[&str]) -> Vec<String> {
    let mut searcher = Searcher::new(&Rules::default());
    for text in texts {
        searcher.text(text);
    }
    searcher.begin_writing();
    let shown = texts.iter().map(|text| {
        let edits = searcher.text(text);
        let edits: Vec<_> = edits.into_iter().map(|edit| Edit { text: "#".into(), ..edit }).collect();
        applied(text, &edits)
    });
    shown.collect()
}

#[test]
fn a_value_ends_where_its_grammar_says() {
    for (text, expected) in [
        ("https://a/?token=abc;SECRET&b=c", "https://a/?token=#&b=c"),
        ("https://a/?token=abc?SECRET#d", "https://a/?token=##d"),
        ("https://a/?token=abc;b=c", "https://a/?token=#;b=c"),
        ("user=me&password=ab;SECRET", "user=me&password=#"),
        ("user=me&password=ab|SECRET'x", "user=me&password=#"),
        ("user%5Bpassword%5D=SECRET&a=b", "user%5Bpassword%5D=#&a=b"),
        (r#"{"u":"https:\/\/a\/?token=ab\/SECRET","v":1}"#, r##"{"u":"https:\/\/a\/?token=#","v":1}"##),
        (r#"{"password":"ab\u002BSECRET"}"#, r##"{"password":"#"}"##),
        (r#"{"u":"/x?token\u003dSECRET\u0026a=b"}"#, r##"{"u":"/x?token\u003d#\u0026a=b"}"##),
        (r#"{"in":"{\"token\":\"x\\\"y\",\"b\":1}","c":2}"#, r##"{"in":"{\"token\":\"#\",\"b\":1}","c":2}"##),
        (
            "/go?url=https%3A%2F%2Fb%2F%3Faccess_token%3Dx%2526y%26c%3Dd",
            "/go?url=https%3A%2F%2Fb%2F%3Faccess_token%3D#%26c%3Dd",
        ),
        (
            r#"{"query":"mutation { login(user: \"me\", password: \"a b\") }"}"#,
            r##"{"query":"mutation { login(user: \"me\", password: \"#\") }"}"##,
        ),
        (
            "<a><ns:password>a&amp;b</ns:password><b token='c'/></a>",
            "<a><ns:password>#</ns:password><b token='#'/></a>",
        ),
        ("<input type=hidden name=csrf_token value=\"x\">", "<input type=hidden name=csrf_token value=\"#\">"),
        (
            "data: {\"token\":\"x\"}\n\ndata: {\"token\":\"y\"}\n",
            "data: {\"token\":\"#\"}\n\ndata: {\"token\":\"#\"}\n",
        ),
        (r#"42["login",{"token":"x"}]"#, r##"42["login",{"token":"#"}]"##),
        (r#"for(;;); {"token":"x"}"#, r##"for(;;); {"token":"#"}"##),
        (r#"var a = "{\"token\":\"x\"}";"#, r##"var a = "{\"token\":\"#\"}";"##),
        (r#"{"token":"cut o"#, r##"{"token":"#"##),
        (r#"[{"name":"token","value":"x"}]"#, r##"[{"name":"token","value":"#"}]"##),
        (
            r#"{"max_tokens":100000,"nextPageToken":"abc","tokenize":"x y"}"#,
            r#"{"max_tokens":100000,"nextPageToken":"abc","tokenize":"x y"}"#,
        ),
        (r#"{"token":12345,"password":123456}"#, r##"{"token":12345,"password":#}"##),
        ("see https://u:p@a/?token=x, then", "see https://#@a/?token=# then"),
    ] {
        assert_eq!(texts(&[text]), [expected], "{text}");
    }
}

#[test]
fn what_was_replaced_once_is_replaced_everywhere() {
    let secret = r#"{"token":"va/lue+one"}"#;
    for (text, expected) in [
        ("you sent va/lue+one.", "you sent #."),
        ("x va%2Flue%2Bone x", "x # x"),
        ("x va%2flue%2bone x", "x # x"),
        ("x va%252Flue%252Bone x", "x # x"),
        (r#"{"echo":"va\/lue\u002bone"}"#, r##"{"echo":"#"}"##),
        (r#"log "va\/lue\u002bone""#, r##"log "#""##),
        ("/path/va%2Flue+one", "/path/#"),
        ("xva/lue+one va/lue+onex", "xva/lue+one va/lue+onex"),
        (r#"{"va/lue+one":"va/lue+one"}"#, r##"{"va/lue+one":"#"}"##),
        ("<a va/lue+one='va/lue+one'>va/lue+one</a>", "<a va/lue+one='#'>#</a>"),
        // "x:va/lue+one;"
        ("eDp2YS9sdWUrb25lOw==", "eD#Ow=="),
        ("76612f6c75652b6f6e65", "#"),
        (
            "eyJhIjoieHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4dmEvbH\r\nVlK29uZSJ9\n",
            "eyJhIjoieHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4#J9\n",
        ),
        (
            r#"{"a":"eyJhIjoieHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4dmEvbH\nVlK29uZSJ9"}"#,
            r##"{"a":"eyJhIjoieHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4#J9"}"##,
        ),
    ] {
        assert_eq!(texts(&[text, secret])[0], expected, "{text}");
    }
    let url = r#"{"secret":"https://b/?x=1&y=2"}"#;
    assert_eq!(
        texts(&["go https://b/?x=1&y=2 now", url, "https://b/?x=1&y=2"])[..],
        ["go # now", r##"{"secret":"#"}"##, "#"]
    );
    let document = r#"{"secret":"{\"x\":1,\"y\":22}"}"#;
    assert_eq!(texts(&[r#"{"data":"{\"x\":1,\"y\":22}"}"#, document])[0], r##"{"data":"#"}"##, "several values as one");
}

#[test]
fn parts_of_secrets_and_forms_are_replaced() {
    let token = format!("ghp_{}", "a1B2".repeat(10));
    for (text, expected) in [
        (
            r#"{"objectKey":"a8Zk29xQ71mLp03v","session":{"user":"me"}}"#,
            r##"{"objectKey":"#","session":{"user":"me"}}"##,
        ),
        (r#"{"password":{"pin":12,"on":true}}"#, r##"{"password":{"pin":#,"on":true}}"##),
        (r#"{"a":1} token="abcdefgh1""#, r##"{"a":1} token="#""##),
        (r#"{"in":"<a><token>x</token></a>"}"#, r##"{"in":"<a><token>#</token></a>"}"##),
        (&format!("see {token}, it"), "see #, it"),
    ] {
        assert_eq!(texts(&[text]), [expected], "{text}");
    }
    for (secret, part) in [
        ("a=b&token=va+lue+one-x", "va+lue+one-x"),
        ("https://me:pass-w0rd@a/", "pass-w0rd"),
        (r#"{"authorization":"Digest username=\"me\", response=\"a8Zk29xQ71mLp03vQ9\""}"#, "a8Zk29xQ71mLp03vQ9"),
    ] {
        assert_eq!(texts(&[&format!("x {part} y"), secret])[0], "x # y", "{secret}");
    }
    let words = r#"{"password":"correct horsepower staple"}"#;
    assert_eq!(texts(&["x horsepower y", words])[0], "x horsepower y", "words of a secret are no secrets");
}

#[test]
fn values_that_remain_are_counted() {
    let mut searcher = Searcher::new(&Rules::default());
    searcher.text(
        r#"{"token_type":"a1","token_kind":"abcdefg1","tokenize":"two words 1","token_uri":"https://a1.test/x"}"#,
    );
    assert_eq!(searcher.report.suspicious.into_iter().collect::<Vec<_>>(), [("token_kind".to_owned(), 1)]);
    let mut searcher = Searcher::new(&Rules::default());
    searcher.text(&format!("{{\"token\":\"{}\"}}", "x".repeat(70_000)));
    searcher.begin_writing();
    assert_eq!(searcher.report.unsought, 1);
}

#[test]
fn placeholders_stay() {
    for text in [r#"{"objectKey":"redacted-5b1c0e7f33a9"}"#, r#"{"token":"redacted-5b1c0e7f33a9"}"#] {
        assert_eq!(texts(&[text]), [text]);
    }
}

#[test]
fn values_that_overlap_keep_the_length_of_a_binary_body() {
    let mut searcher = Searcher::new(&Rules::default());
    ["s3cret-value", "value-two-x"].iter().for_each(|value| drop(searcher.secret("token", value)));
    searcher.begin_writing();
    let edits = searcher.binary(b"\xffs3cret-value-two-x\xff");
    assert_eq!(edits.iter().map(|edit| (edit.range.clone(), edit.text.len())).collect::<Vec<_>>(), [(1..19, 18)]);
}

#[test]
fn repeated_header_fields_are_searched_in_each_pass() {
    let mut searcher = Searcher::new(&Rules::default());
    for _ in 0..3 {
        assert!(searcher.header("X-Echo", "you sent s3cret-value").is_empty(), "it is not known yet");
        assert!(searcher.header("X-Token-Kind", "abcdefg1").is_empty());
    }
    assert_eq!(searcher.report.suspicious["x-token-kind"], 3, "counted each time");
    searcher.header("X-Token", "s3cret-value");
    searcher.begin_writing();
    for _ in 0..3 {
        assert_eq!(searcher.header("X-Echo", "you sent s3cret-value").len(), 1);
        assert_eq!(searcher.header("X-Echo", "you sent nothing"), []);
    }
}

#[test]
fn any_text_is_redacted() {
    let seeds: Vec<Vec<u8>> = [
        r#"{"a":"x","b":{"token":[1,-2.5e3,true,null,{"c":"d\\"}]},"a":{}}"#,
        r#"{"x":"{\"a\":\"1\",\"token\": [1, 2]}","\u0061":"y","a":""}"#,
        "data: {\"token\":\"v\"}\n\nvar a = {'token': \"x\"",
        "<token b='SECRET'>&amp;<![CDATA[x]]></token><!-- c -->",
        "https://u:p@a/b;a=c?token=SECRET%20%C3%BC+&a=%7B%22a%22:1%7D#x?token=y",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .into();
    crate::wire::mutations::mutations(&seeds, 300, fuzz::check_json);
    crate::wire::mutations::mutations(&seeds, 100, fuzz::check_text);
}
