//! Resources of courses: what operators set, the badges in lists, and which of them are open to a learner without a rental.

use bursar::app::caller::Caller;
use serde_json::{Value, json};

use crate::util::{TestApp, id};

const BADGES: &str = "course { resources { id title cost days position demo { text imageUrl videoUrl } } }";

async fn resources(shop: &TestApp, course: &str, list: Value) -> Vec<Value> {
    let input = json!({ "courseId": course, "resources": list });
    let answer = shop.act(&shop.operator(), "resourcesSet", input, BADGES).await;
    answer["course"]["resources"].as_array().expect("a list").clone()
}

fn titles(list: &[Value]) -> Vec<&str> {
    list.iter().map(|resource| resource["title"].as_str().expect("a title")).collect()
}

/// Somebody to whom a group opens the course; the group's id and the caller.
async fn learner_of(shop: &TestApp, course: &str) -> (String, Caller) {
    let (account, token) = shop.sign_up("ann@example.org").await;
    let input = json!({ "title": "Class", "content": [{ "courseId": course, "opens": true }] });
    let group = id(&shop.act(&shop.operator(), "groupCreate", input, "group { id }").await["group"]);
    let input = json!({ "groupId": group, "accountIds": [account] });
    shop.act(&shop.operator(), "groupMembersAdd", input, "").await;
    (group, shop.bearer(&token).await)
}

/// R26, R28, R30: cost, days and demo of each resource of a course, shown as badges in its lists; the list is set as a whole.
#[tokio::test]
async fn r28_resources_have_a_cost_days_and_a_demo_and_show_them_in_lists() {
    let shop = TestApp::new().await;
    let course = shop.course("Welding").await;
    let list = json!([
        { "title": "Safety first" },
        { "title": "The torch", "cost": 5, "demo": { "text": "  What a torch does.\r\n" } },
        { "title": "Seams", "cost": 12, "days": 7, "demo": { "videoUrl": "https://video.example.org/seams" } },
        { "title": "Plans", "cost": 1, "demo": { "imageUrl": "https://img.example.org/plans.png" } },
    ]);
    let set = resources(&shop, &course, list.clone()).await;
    let demo = |text: Value, image: Value, video: Value| json!({ "text": text, "imageUrl": image, "videoUrl": video });
    let expected = [
        ("Safety first", 0, 30, Value::Null),
        ("The torch", 5, 30, demo(json!("What a torch does."), Value::Null, Value::Null)),
        ("Seams", 12, 7, demo(Value::Null, Value::Null, json!("https://video.example.org/seams"))),
        ("Plans", 1, 30, demo(Value::Null, json!("https://img.example.org/plans.png"), Value::Null)),
    ];
    for ((resource, (title, cost, days, demo)), place) in set.iter().zip(expected).zip(1..) {
        let shown = json!({ "id": resource["id"], "title": title, "cost": cost, "days": days, "position": place, "demo": demo });
        assert_eq!(*resource, shown);
    }
    // The same list again is the same resources, and no change.
    let log = "{ auditLog(filter: { operation: \"resourcesSet\" }) { totalCount } }";
    assert_eq!(shop.ok(&shop.operator(), log, json!({})).await["auditLog"]["totalCount"], 4);
    assert_eq!(resources(&shop, &course, list).await, set);
    assert_eq!(shop.ok(&shop.operator(), log, json!({})).await["auditLog"]["totalCount"], 4);

    // Another order, another title and cost by id, one left out, one new; what left is archived and comes back by its id.
    let list = json!([
        { "id": set[2]["id"], "title": "Seams and joints", "cost": 15, "days": 7 },
        { "title": "Safety first" },
        { "title": "Rust", "cost": 2 },
        { "id": set[3]["id"], "title": "Plans", "cost": 1 },
    ]);
    let after = resources(&shop, &course, list).await;
    assert_eq!(titles(&after), ["Seams and joints", "Safety first", "Rust", "Plans"]);
    assert_eq!((&after[0]["id"], &after[1]["id"], &after[3]["id"]), (&set[2]["id"], &set[0]["id"], &set[3]["id"]));
    assert_eq!((&after[0]["cost"], &after[0]["demo"]), (&json!(15), &Value::Null));
    let one = "query($id: ID!) { resource(id: $id) { title archivedAt course { title } } node(id: $id) { __typename } }";
    let gone = shop.ok(&shop.operator(), one, json!({ "id": set[1]["id"] })).await;
    assert_eq!(
        gone["resource"],
        json!({ "title": "The torch", "archivedAt": "2026-01-01T00:00:00+00:00", "course": { "title": "Welding" } })
    );
    assert_eq!(gone["node"]["__typename"], "Resource");
    let back = resources(&shop, &course, json!([{ "id": set[1]["id"], "title": "The torch", "cost": 5 }])).await;
    assert_eq!((back.len(), &back[0]["id"]), (1, &set[1]["id"]));
    assert!(resources(&shop, &course, json!([])).await.is_empty());
}

/// Nothing is changed by a list with a fault, and each fault is named by its place.
#[tokio::test]
async fn r28_bad_resources_are_refused_by_their_places_and_change_nothing() {
    let shop = TestApp::new().await;
    let (course, other) = (shop.course("Welding").await, shop.course("Casting").await);
    let held = resources(&shop, &course, json!([{ "title": "The torch", "cost": 5 }])).await;
    let foreign = resources(&shop, &other, json!([{ "title": "Sand", "cost": 5 }])).await;
    let list = |resource: Value| json!({ "courseId": course, "resources": [{ "title": "Fine" }, resource] });
    let long = "x".repeat(2_001);
    for (resource, code, field) in [
        (json!({ "title": " " }), "REQUIRED", "title"),
        (json!({ "title": "A", "cost": -1 }), "INVALID", "cost"),
        (json!({ "title": "A", "cost": 1_000_001 }), "INVALID", "cost"),
        (json!({ "title": "A", "cost": 1, "days": 0 }), "INVALID", "days"),
        (json!({ "title": "A", "cost": 1, "days": -30 }), "INVALID", "days"),
        (json!({ "title": "A", "cost": 1, "days": 3_651 }), "INVALID", "days"),
        (json!({ "title": "A", "demo": { "videoUrl": "http://video.example.org" } }), "INVALID", "demo.videoUrl"),
        (json!({ "title": "A", "demo": { "imageUrl": "javascript:alert(1)" } }), "INVALID", "demo.imageUrl"),
        (json!({ "title": "A", "demo": { "text": " " } }), "REQUIRED", "demo.text"),
        (json!({ "title": "A", "demo": { "text": long } }), "TOO_LONG", "demo.text"),
        (json!({ "id": "res_nonsense", "title": "A" }), "NOT_FOUND", "id"),
        (json!({ "id": foreign[0]["id"], "title": "A" }), "NOT_FOUND", "id"),
    ] {
        let expected = vec![(code.to_owned(), format!("resources.1.{field}"))];
        assert_eq!(shop.denied(&shop.operator(), "resourcesSet", list(resource.clone())).await, expected, "{resource}");
    }
    let twice = json!({ "courseId": course, "resources": [{ "id": held[0]["id"], "title": "A" }, { "id": held[0]["id"], "title": "B" }] });
    let expected = vec![("REPEATED".to_owned(), "resources.1.id".to_owned())];
    assert_eq!(shop.denied(&shop.operator(), "resourcesSet", twice).await, expected);
    let many: Vec<Value> = (0..501).map(|number| json!({ "title": format!("{number}") })).collect();
    let expected = vec![("TOO_LONG".to_owned(), "resources".to_owned())];
    assert_eq!(shop.denied(&shop.operator(), "resourcesSet", json!({ "courseId": course, "resources": many })).await, expected);
    let unknown = json!({ "courseId": "crs_01m88mdsqyeexs0j7wsy3h1qvs", "resources": [] });
    assert_eq!(shop.denied(&shop.operator(), "resourcesSet", unknown).await, vec![("NOT_FOUND".to_owned(), "courseId".to_owned())]);
    let both = "mutation($input: ResourcesSetInput!) { resourcesSet(input: $input) { userErrors { code } } }";
    let input = list(json!({ "title": "A", "demo": { "text": "a", "videoUrl": "https://a.example.org" } }));
    assert!(shop.run(&shop.operator(), both, json!({ "input": input })).await["errors"][0].is_object(), "one of the three");
    let now =
        shop.ok(&shop.operator(), "query($id: ID) { course(id: $id) { resources { id title cost } } }", json!({ "id": course })).await;
    assert_eq!(now["course"]["resources"], json!([{ "id": held[0]["id"], "title": "The torch", "cost": 5 }]));
    shop.act(&shop.operator(), "courseArchive", json!({ "id": course }), "").await;
    let archived = json!({ "courseId": course, "resources": [] });
    assert_eq!(shop.denied(&shop.operator(), "resourcesSet", archived).await, vec![("ARCHIVED".to_owned(), "courseId".to_owned())]);
}

/// R27, R38: with its course a resource without a cost opens, a priced one does not, unless a group of the learner ignores credits.
#[tokio::test]
async fn r38_a_group_that_ignores_credits_opens_priced_resources_with_their_course() {
    let shop = TestApp::new().await;
    let course = shop.course("Welding").await;
    resources(&shop, &course, json!([{ "title": "Safety first" }, { "title": "The torch", "cost": 5 }])).await;
    let (class, ann) = learner_of(&shop, &course).await;
    let mine = "{ me { courses { nodes { title resources { title cost open state rentedUntil } } } } }";
    let explain = "query($id: ID!) { accessExplain(courseId: $id) { open resources { title open state } } }";
    let states = async || {
        let data = shop.ok(&ann, explain, json!({ "id": course })).await;
        let listed = data["accessExplain"]["resources"].as_array().expect("a list").clone();
        listed.iter().map(|resource| resource["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    let torch = json!({ "title": "The torch", "cost": 5, "open": false, "state": "RENTAL_REQUIRED", "rentedUntil": null });
    let safety = json!({ "title": "Safety first", "cost": 0, "open": true, "state": "OPEN", "rentedUntil": null });
    let nodes = shop.ok(&ann, mine, json!({})).await["me"]["courses"]["nodes"].clone();
    assert_eq!(nodes, json!([{ "title": "Welding", "resources": [safety, torch] }]));

    // The flag of whichever group, at creation or later.
    let input = json!({ "title": "Patrons", "ignoresCredits": true });
    let patrons = shop.act(&shop.operator(), "groupCreate", input, "group { id ignoresCredits }").await["group"].clone();
    assert_eq!(patrons["ignoresCredits"], true);
    let account = shop.ok(&ann, "{ me { account { id } } }", json!({})).await["me"]["account"]["id"].clone();
    let member = json!({ "groupId": patrons["id"], "accountIds": [account] });
    shop.act(&shop.operator(), "groupMembersAdd", member.clone(), "").await;
    assert_eq!(states().await, ["OPEN", "OPEN"]);
    shop.act(&shop.operator(), "groupUpdate", json!({ "id": patrons["id"], "ignoresCredits": false }), "").await;
    assert_eq!(states().await, ["OPEN", "RENTAL_REQUIRED"]);
    shop.act(&shop.operator(), "groupUpdate", json!({ "id": patrons["id"], "ignoresCredits": true }), "").await;
    // Ordinary access still decides.
    let class = json!({ "groupId": class, "accountIds": [account] });
    shop.act(&shop.operator(), "groupMembersRemove", class, "").await;
    assert_eq!(states().await, ["COURSE_REQUIRED", "COURSE_REQUIRED"]);
    shop.act(&shop.operator(), "groupMembersRemove", member, "").await;
    assert_eq!(states().await, ["COURSE_REQUIRED", "RENTAL_REQUIRED"]);
}

/// Lists with resources cost the same number of statements whatever their length.
#[tokio::test]
async fn lists_with_resources_cost_a_fixed_number_of_statements() {
    let shop = TestApp::new().await;
    let course = shop.course("Course 0").await;
    let (group, ann) = learner_of(&shop, &course).await;
    let badges = "{ courses(first: 100) { nodes { resources { id title cost days } } } }";
    let mine = "{ me { courses(first: 100) { nodes { resources { id title cost days open } } } } }";
    let list: Vec<Value> = (0..20).map(|number| json!({ "title": format!("Item {number}"), "cost": number })).collect();
    let mut counts = Vec::new();
    for more in [0, 30] {
        let mut content = vec![json!({ "courseId": course, "opens": true })];
        for number in 1..=more {
            let course = shop.course(&format!("Course {number}")).await;
            resources(&shop, &course, json!(list)).await;
            content.push(json!({ "courseId": course, "opens": true }));
        }
        resources(&shop, &course, json!(list)).await;
        shop.act(&shop.operator(), "groupUpdate", json!({ "id": group, "content": content }), "").await;
        let (listed, one) = shop.counted(&shop.operator(), badges, json!({})).await;
        let (opened, other) = shop.counted(&ann, mine, json!({})).await;
        for nodes in [&listed["data"]["courses"]["nodes"], &opened["data"]["me"]["courses"]["nodes"]] {
            let nodes = nodes.as_array().expect("a list");
            assert!(nodes.len() == more + 1 && nodes.iter().all(|node| node["resources"].as_array().is_some_and(|list| list.len() == 20)));
        }
        counts.push((one, other));
    }
    assert_eq!(counts[0], counts[1]);
}
