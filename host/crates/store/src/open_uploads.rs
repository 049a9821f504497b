//! Uploads that are open in a bucket: begun, and neither completed nor aborted.
//!
//! Owns their listing, which the client library does not offer. S3 and Google Cloud Storage have it; the library signs
//! the request.

use std::{fmt, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, Error as StoreError, Result,
    client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector},
    path::Path,
    signer::{SignedUrlOptions, Signer},
};

use super::xml::Document;

/// Time for which a signed request is valid.
const VALID: Duration = Duration::from_secs(60);

/// The most pages of a listing that are read. A page has up to 1,000 uploads.
const PAGES_MAX: usize = 1_000;

/// Lists the open uploads of a bucket.
pub(super) struct OpenUploads {
    signer: Arc<dyn Signer>,
    http: HttpClient,
}

/// An upload that is open.
pub(super) struct OpenUpload {
    /// Key of the object, from the root of the bucket.
    pub(super) key: String,
    pub(super) id: String,
}

impl fmt::Debug for OpenUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenUploads")
    }
}

impl OpenUploads {
    /// Creates a lister of the bucket that `signer` signs for.
    pub(super) fn new(signer: Arc<dyn Signer>) -> Result<Self> {
        // The library has checked that the URL may be `http`.
        let http = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true))?;
        Ok(Self { signer, http })
    }

    /// Returns the open uploads of objects whose key begins with `prefix`.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        let (mut found, mut markers) = (Vec::new(), Vec::new());
        for _ in 0..PAGES_MAX {
            let text = self.page(prefix, &markers).await?;
            let no_listing =
                || failed(format!("the store answered with something else than a listing of uploads: {text}"));
            let document = Document::parse(text.as_bytes()).ok_or_else(no_listing)?;
            if document.root != "ListMultipartUploadsResult" {
                return Err(no_listing());
            }
            let uploads = document.all("Upload/Key").zip(document.all("Upload/UploadId"));
            found.extend(uploads.map(|((_, key), (_, id))| OpenUpload { key: key.into_owned(), id: id.into_owned() }));
            if document.get("IsTruncated").as_deref() != Some("true") {
                break;
            }
            let marker = |name: &str| document.get(name).map(|value| value.into_owned());
            markers = [("key-marker", "NextKeyMarker"), ("upload-id-marker", "NextUploadIdMarker")]
                .into_iter()
                .filter_map(|(asked, told)| Some((asked.to_owned(), marker(told)?)))
                .collect();
            if markers.is_empty() {
                return Err(no_listing());
            }
        }
        Ok(found)
    }

    async fn page(&self, prefix: &str, markers: &[(String, String)]) -> Result<String> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        let asked = [("uploads".to_owned(), String::new()), ("prefix".to_owned(), prefix.to_owned())];
        let options = SignedUrlOptions::new().with_query(asked.into_iter().chain(markers.iter().cloned()));
        let url = self.signer.signed_url_opts(request.method().clone(), &Path::default(), VALID, &options).await?;
        *request.uri_mut() = url.as_str().parse().map_err(|_| failed("a signed URL is no URI".to_owned()))?;
        let answer = self.http.execute(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(text) } else { Err(failed(format!("the store answered {status}: {text}"))) }
    }
}

fn failed(text: String) -> StoreError {
    StoreError::Generic { store: "uploads", source: text.into() }
}
