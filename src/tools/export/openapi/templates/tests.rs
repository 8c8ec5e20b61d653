use super::*;
use crate::tools::export::openapi::answers::{Sought, find};
use crate::tools::export::openapi::sketch::Sketch;
use crate::tools::export::openapi::survey::method_bit;

/// Returns the templates of requests: `GET /users/17` and the body of its answer.
fn templates(requests: &[(&str, &str)]) -> Vec<String> {
    let inferred = infer(requests);
    inferred.endpoints.iter().map(text).collect()
}

fn infer(requests: &[(&str, &str)]) -> Templates {
    let mut tree = PathTree::new();
    let split = |request: &'static str| request.split_once(' ').unwrap();
    let requests: Vec<(&'static str, &str)> =
        requests.iter().map(|(request, body)| (&*String::from(*request).leak(), *body)).collect();
    for (number, (request, _)) in requests.iter().enumerate() {
        let (method, path) = split(request);
        tree.add(Path::of(path).unwrap(), number, method_bit(method).unwrap(), false);
    }
    let sought = Sought::new(&tree);
    let mut found = Vec::new();
    for (number, (request, body)) in requests.iter().enumerate() {
        let (method, path) = split(request);
        let path = Path::of(path).unwrap();
        let mut findings = find(&tree, &sought, path, number, body.as_bytes());
        findings.sketch.add(0, false, if body.starts_with('{') { "{" } else { "other" });
        let end = *tree.nodes_of(path).last().unwrap_or(&PathTree::ROOT);
        found.push((findings.evidence, end, findings.sketch.of_method(method)));
    }
    for (evidence, end, sketch) in found {
        let mut evidence_of = evidence;
        evidence_of.push((end, Evidence::NONE));
        let mut sketches: Vec<(usize, Sketch)> = vec![(end.index(), sketch)];
        for (at, node) in tree.nodes_mut().enumerate() {
            for (_, evidence) in evidence_of.iter().filter(|(found, _)| found.index() == at) {
                node.evidence |= *evidence;
            }
            sketches.iter_mut().filter(|(found, _)| *found == at).for_each(|(_, sketch)| node.sketch.merge(sketch));
        }
    }
    Templates::infer(&tree)
}

/// Returns `/users/{}`.
fn text(endpoint: &Endpoint) -> String {
    let names = vec![String::new(); 8];
    let segments = endpoint.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => text.to_string(),
        Segment::Parameter(parameter) => parameter.affixes.template(&names),
    });
    let slash = if endpoint.has_final_slash { "/" } else { "" };
    ["/", &segments.collect::<Vec<_>>().join("/"), slash].concat()
}

/// Asserts the templates of GET requests without bodies.
fn assert_paths(paths: &[&str], expected: &[&str]) {
    let requests: Vec<_> = paths.iter().map(|path| (["GET ", path].concat(), "")).collect();
    let requests: Vec<_> = requests.iter().map(|(request, body)| (request.as_str(), *body)).collect();
    assert_eq!(templates(&requests), expected, "{paths:?}");
}

#[test]
fn identifiers_are_values_and_words_are_names() {
    assert_paths(&["/users/17", "/users", "/users/me"], &["/users", "/users/me", "/users/{}"]);
    assert_paths(&["/a/8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b/b"], &["/a/{}/b"]);
    assert_paths(
        &["/rpc/chat.update", "/rpc/chat.delete", "/rpc/users.info"],
        &["/rpc/chat.delete", "/rpc/chat.update", "/rpc/users.info"],
    );
    assert_paths(&["/slash/7/", "/slash/8/"], &["/slash/{}/"]);
    assert_paths(&["/slash/7/", "/slash/8"], &["/slash/{}"]);
    assert_paths(&["/", "//a"], &["/", "//a"]);
}

#[test]
fn versions_of_an_api_are_names() {
    assert_paths(&["/v1/users", "/v2/users"], &["/v1/users", "/v2/users"]);
    assert_paths(&["/2010-04-01/Accounts", "/2010-04-01/Calls"], &["/2010-04-01/Accounts", "/2010-04-01/Calls"]);
    assert_paths(&["/2/users", "/2/tweets/17"], &["/2/tweets/{}", "/2/users"]);
    assert_paths(&["/2/users", "/3/users"], &["/{}/users"]);
    assert_paths(&["/users/17/orders"], &["/users/{}/orders"]);
}

#[test]
fn values_in_answers_are_values() {
    let alice = ("GET /user/alice", r#"{"login": "alice"}"#);
    assert_eq!(templates(&[alice]), ["/user/{}"]);
    assert_eq!(templates(&[("GET /user/alice", r#"{"type": "alice"}"#)]), ["/user/alice"], "the name of a type");
    let listed = [
        ("GET /teams", r#"[{"name": "red"}, {"name": "blue"}]"#),
        ("GET /teams/red", "{}"),
        ("GET /teams/blue/members", "[]"),
    ];
    assert_eq!(templates(&listed), ["/teams", "/teams/{}", "/teams/{}/members"]);
    let earlier = [("GET /feed", r#"[{"slug": "blue-car"}]"#), ("GET /cars/blue-car", "{}")];
    assert_eq!(templates(&earlier), ["/cars/{}", "/feed"]);
    let later = [earlier[1], earlier[0]];
    assert_eq!(templates(&later), ["/cars/blue-car", "/feed"], "a later answer proves nothing");
    let linked =
        [("GET /all", r#"[{"url": "/pets/rex"}, {"url": "/pets/tom"}]"#), ("GET /pets/rex", ""), ("GET /pets/tom", "")];
    assert_eq!(templates(&linked), ["/all", "/pets/{}"]);
    let joined = [("GET /repos/octo/hello/issues", r#"{"full_name": "octo/hello"}"#)];
    assert_eq!(templates(&joined), ["/repos/{}/{}/issues"]);
    let resource = [("GET /videos", r#"[{"name": "users"}]"#), ("GET /users", "[]")];
    assert_eq!(templates(&resource), ["/users", "/videos"], "the name of a resource in a list of another one");
    let named = [("GET /users", r#"{"name": "users"}"#), ("GET /videos", "[]")];
    assert_eq!(templates(&named), ["/users", "/videos"], "one word at a place for resources");
}

#[test]
fn words_that_continue_as_values_do_are_values() {
    assert_paths(&["/users/17/orders", "/users/alice/orders", "/users/search"], &["/users/search", "/users/{}/orders"]);
    assert_paths(&["/teams/red/members", "/teams/blue/members", "/teams/green/members"], &["/teams/{}/members"]);
    assert_paths(&["/team/red/members", "/team/blue/members"], &["/team/blue/members", "/team/red/members"]);
    // Resources with the same sub-resource.
    let resources = ["/v1/users/count", "/v1/teams/count", "/v1/orders/count"];
    assert_paths(&resources, &["/v1/orders/count", "/v1/teams/count", "/v1/users/count"]);
}

#[test]
fn words_with_the_methods_and_answers_of_values_are_values() {
    let user = r#"{"id": 1, "name": "x", "mail": "y"}"#;
    let requests = [("GET /users/17", user), ("GET /users/alice", user), ("GET /users/top", r#"{"total": 3}"#)];
    assert_eq!(templates(&requests), ["/users/top", "/users/{}"]);
    let posted =
        [("GET /users/17", user), ("POST /users/17", user), ("POST /users/invite", user), ("POST /users/merge", user)];
    assert_eq!(templates(&posted), ["/users/invite", "/users/merge", "/users/{}"], "what is posted to is an action");
    let colour = r#"{"hex": 1, "r": 1, "g": 1, "b": 1}"#;
    let slugs = ["GET /colours/red-2", "GET /colours/blue", "GET /colours/pink"].map(|request| (request, colour));
    assert_eq!(templates(&slugs), ["/colours/{}"]);
    assert_eq!(templates(&slugs[..2]).len(), 2, "two are not enough");
    let settings = [
        ("GET /settings/a-b", colour),
        ("GET /settings/keys", r#"[{"k": 1}]"#),
        ("GET /settings/bill", r#"{"plan": 1}"#),
    ];
    assert_eq!(templates(&settings).len(), 3, "different answers");
}

#[test]
fn parts_of_segments_are_values() {
    assert_paths(&["/op/17:cancel", "/op/18:cancel", "/op/19"], &["/op/{}:cancel", "/op/{}"]);
    assert_paths(&["/a/17.json", "/a/18.json"], &["/a/{}.json"]);
    assert_paths(&["/a/17.json", "/a/18"], &["/a/{}"]);
    assert_paths(
        &["/Users('alice')", "/Users('bob')/Mail", "/Teams(7)"],
        &["/Users('{}')", "/Users('{}')/Mail", "/Teams({})"],
    );
    assert_paths(&["/blog/page-2", "/blog/page-3", "/blog/page-4"], &["/blog/page-{}"]);
    assert_paths(&["/blog/page-2", "/blog/page-3"], &["/blog/page-2", "/blog/page-3"]);
    assert_paths(&["/cars;color=red", "/cars;color=blue"], &["/cars;color={}"]);
}

#[test]
fn first_segments_with_one_subtree_are_tenants() {
    let tenants = ["acme", "globex", "initech"]
        .map(|tenant| [format!("/{tenant}/app/projects"), format!("/{tenant}/app/people")]);
    let paths: Vec<_> = tenants.iter().flatten().map(String::as_str).collect();
    assert_paths(&paths, &["/{}/app/people", "/{}/app/projects"]);
    let services = ["auth", "pay", "mail"].map(|service| [format!("/{service}/health"), format!("/{service}/metrics")]);
    let paths: Vec<_> = services.iter().flatten().map(String::as_str).collect();
    assert_eq!(paths.len(), 6);
    let requests: Vec<_> = paths.iter().map(|path| (format!("GET {path}"), "")).collect();
    let requests: Vec<_> = requests.iter().map(|(request, body)| (request.as_str(), *body)).collect();
    assert_eq!(templates(&requests).len(), 6, "paths that any service has");
}

#[test]
fn more_segments_than_an_api_has_names_are_values() {
    let requests: Vec<_> =
        (0..1100).map(|n| format!("GET /w/{}x", "ab".repeat(n % 40) + &"c".repeat(n / 40))).collect();
    let requests: Vec<_> = requests.iter().map(|request| (request.as_str(), "")).collect();
    assert_eq!(templates(&requests), ["/w/{}"]);
}

#[test]
fn a_request_matches_a_literal_segment_first() {
    let inferred = infer(&[("GET /users/17", ""), ("GET /users/me", ""), ("GET /users/18/x", "")]);
    let found = |path: &str| inferred.endpoint(Path::of(path).unwrap()).map(|at| text(&inferred.endpoints[at]));
    assert_eq!(found("/users/me").as_deref(), Some("/users/me"));
    assert_eq!(found("/users/19?q").as_deref(), Some("/users/{}"));
    assert_eq!(found("/users/me/x").as_deref(), Some("/users/{}/x"));
    assert_eq!(found("/users"), None);
}

#[test]
fn conflicts_cost_as_few_templates_as_possible() {
    // One template below the literal segment, three beside the parameter.
    let requests = [
        ("GET /issues/comments/5", r#"{"text": 1}"#),
        ("GET /issues/7/comments", r#"[{"text": 1}]"#),
        ("GET /issues/7/labels", r#"[{"colour": 1}]"#),
        ("GET /issues/7/events", r#"[{"time": 1}]"#),
    ];
    let expected = ["/issues/{}/comments", "/issues/{}/events", "/issues/{}/labels", "/issues/{}/{}"];
    assert_eq!(templates(&requests), expected);
    // The other way around.
    let requests = [
        ("GET /apps/tiers", "[]"),
        ("GET /apps/tiers/5", r#"{"tier": 1}"#),
        ("GET /apps/tiers/sizes", r#"[{"size": 1}]"#),
        ("GET /apps/tiers/x/y", ""),
        ("GET /apps/9/logs", "[]"),
    ];
    let expected = ["/apps/tiers", "/apps/tiers/sizes", "/apps/tiers/x/y", "/apps/tiers/{}", "/apps/{}/{}"];
    assert_eq!(templates(&requests), expected);
}

/// Paths of few words and numbers, in a fixed pseudo-random order.
fn samples() -> Vec<String> {
    let mut state = 1u64;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let words = ["users", "me", "items", "a", "b", "1", "2", "17", "x-1"];
    let mut path = || (0..1 + next(4)).map(|_| ["/", words[next(words.len())]].concat()).collect::<String>();
    (0..120).map(|_| ["GET ", &path()].concat()).collect()
}

#[test]
fn no_two_templates_match_a_request_without_one_preferred() {
    let all = samples();
    for count in [5, 20, 60, 120] {
        let requests: Vec<_> = all.iter().take(count).map(|request| (request.as_str(), "")).collect();
        let templates = templates(&requests);
        for (n, a) in templates.iter().enumerate() {
            for b in templates.iter().skip(n + 1).filter(|b| b.split('/').count() == a.split('/').count()) {
                let pairs: Vec<_> = a.split('/').zip(b.split('/')).collect();
                let has_common = pairs.iter().all(|(a, b)| a == b || *a == "{}" || *b == "{}");
                let sides =
                    |first: bool| pairs.iter().any(|(a, b)| (*a == "{}") != (*b == "{}") && (*a == "{}") == first);
                assert!(!has_common || sides(true) != sides(false), "{count}: {a} {b}");
            }
        }
    }
}

#[test]
fn more_traffic_covers_the_templates_of_less() {
    let all = samples();
    let of = |count: usize| {
        let requests: Vec<_> = all.iter().take(count).map(|request| (request.as_str(), "")).collect();
        templates(&requests)
    };
    let covers = |a: &String, b: &String| {
        a.split('/').count() == b.split('/').count() && a.split('/').zip(b.split('/')).all(|(a, b)| a == b || a == "{}")
    };
    let whole = of(120);
    for count in [5, 20, 60, 100] {
        for template in of(count) {
            assert!(whole.iter().any(|other| covers(other, &template)), "{count}: {template} {whole:?}");
        }
    }
}
