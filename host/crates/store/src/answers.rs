//! The answers of cloud stores, looked at before the client library takes them for what was asked for.
//!
//! S3 may answer with status 200 and an error, a gateway before it with a page for people. The library reads either as
//! a listing that ends, and as a copy that was made. This module owns what an answer has to be, and asks the library to
//! try again when it is something else.

use std::fmt;

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
        ReqwestConnector,
    },
};
use url::form_urlencoded;

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
        let question = Question::of(&request);
        let answer = self.0.execute(request).await?;
        match question {
            Some(question) if answer.status().is_success() => question.check(answer).await,
            _ if answer.status().as_u16() == 400 => with_true_status(answer).await,
            _ => Ok(answer),
        }
    }
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct WrongAnswer {
    status: u16,
    /// The root of the document that was asked for.
    expected: &'static str,
    text: String,
}

impl WrongAnswer {
    /// Returns the code, if the answer is an error.
    pub(super) fn code(&self) -> Option<String> {
        xml::code(&self.text)
    }
}

impl std::error::Error for WrongAnswer {}

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text.chars().take(QUOTED_CHARACTERS).collect();
        write!(f, "the store answered {} with something else than a whole `{}`: {text:?}", self.status, self.expected)
    }
}

/// A request that is answered with a document.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// Root of the document.
    root: &'static str,
    /// Where a listing is to go on.
    token: Option<String>,
}

impl Question {
    fn of(request: &HttpRequest) -> Option<Self> {
        let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let query: Vec<_> = query.collect();
        let value = |key: &str| query.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_ref());
        let asks = |key: &str| value(key).is_some();
        let copies = ["x-amz-copy-source", "x-goog-copy-source"];
        let root = match request.method().as_str() {
            "GET" if asks("list-type") => "ListBucketResult",
            "GET" if value("comp") == Some("list") => "EnumerationResults",
            "PUT" if !asks("partNumber") && copies.iter().any(|name| request.headers().contains_key(*name)) => {
                "CopyObjectResult"
            }
            "POST" if asks("uploads") => "InitiateMultipartUploadResult",
            "POST" if asks("uploadId") => "CompleteMultipartUploadResult",
            "POST" if asks("delete") => "DeleteResult",
            _ => return None,
        };
        Some(Self { root, token: value("continuation-token").map(str::to_owned) })
    }

    /// Returns an answer with its misfits marked, if it is what was asked for.
    async fn check(&self, answer: HttpResponse) -> Result<HttpResponse, HttpError> {
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await?;
        let document = Document::parse(&body).filter(|document| document.root == self.root);
        let Some(document) = document.filter(|listing| self.is_gone_on_with(listing)) else {
            let text = String::from_utf8_lossy(&body);
            let wrong = WrongAnswer { status: parts.status.as_u16(), expected: self.root, text: text.into_owned() };
            // Each of these requests may be made again: what it does, it does once.
            return Err(HttpError::new(HttpErrorKind::Interrupted, wrong));
        };
        let marked = misfits::mark(&document).map(HttpResponseBody::from);
        Ok(HttpResponse::from_parts(parts, marked.unwrap_or_else(|| body.into())))
    }

    /// Returns whether a listing is the last part, or tells where to go on, which is not where it began.
    fn is_gone_on_with(&self, listing: &Document<'_>) -> bool {
        let token = listing.get("NextContinuationToken").filter(|token| !token.is_empty());
        let is_last = listing.get("IsTruncated").is_none_or(|text| text.trim() != "true");
        (is_last || token.is_some()) && (token.is_none() || token.as_deref() != self.token.as_deref())
    }
}

/// Returns an answer with status 400 with the status that its code means. S3 says 400 for a request that took too long,
/// and the library tries only those again that have status 408.
async fn with_true_status(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
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
            let found = Question::of(&request).map(|question| question.root);
            assert_eq!(found, root, "{method} {url} {header}");
        }
    }

    #[test]
    fn a_listing_goes_on_somewhere_else_or_ends() {
        let question = |token: &str| Question { root: "L", token: Some(token.to_owned()) };
        for (listing, goes_on) in [
            ("<L><IsTruncated>false</IsTruncated></L>", true),
            ("<L/>", true),
            ("<L><IsTruncated>true</IsTruncated><NextContinuationToken>b=</NextContinuationToken></L>", true),
            ("<L><IsTruncated>true</IsTruncated><NextContinuationToken>a=</NextContinuationToken></L>", false),
            ("<L><NextContinuationToken>a=</NextContinuationToken></L>", false),
            ("<L><IsTruncated>true</IsTruncated><NextContinuationToken/></L>", false),
            ("<L><IsTruncated>true</IsTruncated></L>", false),
        ] {
            let listing = Document::parse(listing.as_bytes()).expect("well-formed");
            assert_eq!(question("a=").is_gone_on_with(&listing), goes_on, "{}", listing.text);
        }
    }
}
