//! `GET /api/openapi.json`.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::client::Answer;
use crate::site::Site;

#[tokio::test]
async fn the_description_names_the_methods_that_each_route_knows() {
    let site = Site::shared().await;
    let client = site.client();
    let description = client.get("/api/openapi.json").await;
    assert_eq!(description.header("content-type"), "application/json");
    let paths = description.expect_status(200)["paths"].as_object().expect("an object");
    assert!(paths.len() >= 7, "{paths:?}");
    for (path, operations) in paths {
        let described: BTreeSet<String> =
            operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let refused =
            Answer::to(client.request(Method::TRACE, &path.replace(['{', '}'], ""))).await;
        let known: BTreeSet<String> =
            refused.header("allow").split(',').map(str::to_owned).collect();
        let ignored = ["HEAD", "PARAMETERS"].map(str::to_owned).into();
        assert_eq!(&described - &ignored, &known - &ignored, "{path}");
    }
}

#[tokio::test]
async fn the_description_names_what_a_request_can_be_refused_for() {
    let site = Site::shared().await;
    let description = site.client().get("/api/openapi.json").await.body;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let operations = operations.as_object().unwrap().iter();
        for (method, operation) in operations.filter(|(method, _)| *method != "parameters") {
            let writes = ["403", "408", "413", "503", "507"];
            let expected: &[&str] = match method.as_str() {
                "get" if path == "/api/openapi.json" => &[],
                "get" => &["503"],
                _ => &writes,
            };
            for status in expected {
                let response = &operation["responses"][status];
                assert!(response.is_object(), "{method} {path} does not name {status}");
            }
        }
    }
}

#[tokio::test]
async fn each_reference_of_the_description_leads_somewhere() {
    let site = Site::shared().await;
    let description = site.client().get("/api/openapi.json").await.body;
    let text = description.to_string();
    let references: BTreeSet<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(!references.is_empty());
    for reference in references {
        assert!(description.pointer(reference).is_some(), "{reference}");
    }
}
