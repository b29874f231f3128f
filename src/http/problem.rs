//! Answers to requests that failed before, or outside of, GraphQL, in the shape of GraphQL's errors.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use serde_json::json;

use crate::graphql::{
    executor::{INTERNAL_MESSAGE, RequestId},
    limits::INTERNAL,
};

/// `{"errors": [{"message", "extensions": {"code"}}]}` as `application/json`.
#[must_use]
pub fn problem(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    answer(status, &json!({ "errors": [{ "message": message, "extensions": { "code": code } }] }))
}

/// What is left to say after a panic.
#[must_use]
pub fn internal(request_id: &RequestId) -> Response<Body> {
    let extensions = json!({ "code": INTERNAL, "requestId": request_id.as_str() });
    answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "errors": [{ "message": INTERNAL_MESSAGE, "extensions": extensions }] }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
