//! The answers of cloud stores, looked at before the client library takes them for what was asked for.
//!
//! S3 may answer with status 200 and an error, a gateway before it with a page for people. The library reads either as
//! a listing that ends, and as a copy that was made. This module owns what an answer has to be, and asks the library to
//! try again when it is something else.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
};

use super::{
    misfits,
    xml::{self, Document},
};

/// Number of characters of a wrong answer that a message quotes.
const QUOTED_CHARACTERS: usize = 200;

/// Opens connections whose answers are checked.
#[derive(Debug)]
pub(super) struct CheckedConnector;

impl HttpConnector for CheckedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Checked(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Checked(HttpClient);

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let root = expected_root(&request);
        let answer = self.0.execute(request).await?;
        match root {
            Some(root) if answer.status().is_success() => checked(root, answer).await,
            _ if answer.status().as_u16() == 400 => honest(answer).await,
            _ => Ok(answer),
        }
    }
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct WrongAnswer {
    /// The code, if the answer is an error.
    pub(super) code: Option<String>,
    text: String,
}

impl std::error::Error for WrongAnswer {}

impl std::fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the root of the document that answers a request, if a document has to.
fn expected_root(request: &HttpRequest) -> Option<&'static str> {
    let query = request.uri().query().unwrap_or_default();
    let asks = |what: &str| query.split('&').any(|pair| pair == what || pair.split('=').next() == Some(what));
    let copies = ["x-amz-copy-source", "x-goog-copy-source"].iter().any(|name| request.headers().contains_key(*name));
    match request.method().as_str() {
        "GET" if asks("list-type") => Some("ListBucketResult"),
        "GET" if asks("comp=list") => Some("EnumerationResults"),
        "PUT" if copies && !asks("partNumber") => Some("CopyObjectResult"),
        "POST" if asks("uploads") => Some("InitiateMultipartUploadResult"),
        "POST" if asks("uploadId") => Some("CompleteMultipartUploadResult"),
        "POST" if asks("delete") => Some("DeleteResult"),
        _ => None,
    }
}

/// Returns an answer if it is a document with this root, and a listing that can be gone on with.
async fn checked(root: &str, answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let body = body.bytes().await?;
    let wrong = |what: String| {
        let text = String::from_utf8_lossy(&body);
        let wrong = WrongAnswer { code: xml::code(&text), text: what };
        // Every request here may be made again: what it does, it does once.
        Err(HttpError::new(HttpErrorKind::Interrupted, wrong))
    };
    let Some(document) = Document::parse(&body).filter(|document| document.root == root) else {
        let quoted: String = String::from_utf8_lossy(&body).chars().take(QUOTED_CHARACTERS).collect();
        return wrong(format!("the store answered {} with something else than `{root}`: {quoted:?}", parts.status));
    };
    if !tells_where_it_goes_on(&document) {
        return wrong("the store answered with a part of a listing, but not where the listing goes on".to_owned());
    }
    let body = misfits::mark(&document).map_or_else(|| body.clone(), Into::into);
    Ok(HttpResponse::from_parts(parts, body.into()))
}

fn tells_where_it_goes_on(listing: &Document<'_>) -> bool {
    let truncated = listing.get("IsTruncated").is_some_and(|text| text.trim() == "true");
    !truncated || listing.get("NextContinuationToken").is_some_and(|token| !token.is_empty())
}

/// Returns an answer with status 400 with the status that its code means. S3 says 400 for a request that took too long,
/// and the library tries only those again that have status 408.
async fn honest(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = answer.into_parts();
    let body = body.bytes().await?;
    let code = std::str::from_utf8(&body).ok().and_then(xml::code);
    if let (Some("RequestTimeout"), Ok(status)) = (code.as_deref(), 408_u16.try_into()) {
        parts.status = status;
    }
    Ok(HttpResponse::from_parts(parts, body.into()))
}

#[cfg(test)]
mod tests {
    use object_store::{HeaderValue, client::HttpRequestBody};

    use super::*;

    #[test]
    fn questions_of_all_stores_are_known_by_their_requests() {
        for (method, url, header, root) in [
            ("GET", "/b?list-type=2&prefix=x", "", Some("ListBucketResult")),
            ("GET", "/b?restype=container&comp=list", "", Some("EnumerationResults")),
            ("GET", "/b/list-type=2", "", None),
            ("GET", "/b/x", "", None),
            ("PUT", "/b/x", "", None),
            ("PUT", "/b/x", "x-amz-copy-source", Some("CopyObjectResult")),
            ("PUT", "/b/x", "x-goog-copy-source", Some("CopyObjectResult")),
            ("PUT", "/b/x?partNumber=1&uploadId=u", "x-amz-copy-source", None),
            ("PUT", "/b/x", "x-ms-copy-source", None),
            ("POST", "/b/x?uploads=", "", Some("InitiateMultipartUploadResult")),
            ("POST", "/b/x?uploadId=u", "", Some("CompleteMultipartUploadResult")),
            ("DELETE", "/b/x?uploadId=u", "", None),
            ("POST", "/b?delete", "", Some("DeleteResult")),
        ] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = method.parse().expect("a method");
            *request.uri_mut() = url.parse().expect("a URL");
            if !header.is_empty() {
                request.headers_mut().insert(header, HeaderValue::from_static("/b/y"));
            }
            assert_eq!(expected_root(&request), root, "{method} {url} {header}");
        }
    }
}
