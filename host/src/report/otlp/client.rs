//! Requests to a collector, made with the HTTP client library that the object stores use.

use std::time::Duration;

use etl_core::model::shared::Shared;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// Maximum time to open a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Maximum time for a whole request, from connecting to the end of the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Makes requests on the runtime on behalf of threads outside it, and remembers why the first failed request failed.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    runtime: Handle,
    failure: Shared<Option<String>>,
}

impl Client {
    pub(super) fn new(runtime: &Handle) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).timeout(ANSWER_LIMIT).build()?;
        Ok(Self { http, runtime: runtime.clone(), failure: Shared::new(None) })
    }

    /// Returns why the first failed request failed; none if no request has failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    fn failed(&self, why: impl Into<String>) {
        self.failure.lock().get_or_insert(why.into());
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await?;
        match &sent {
            Err(error) => self.failed(chain(error)),
            Ok(answer) if !answer.status().is_success() => self.failed(format!("it answered {}", answer.status())),
            Ok(_) => {}
        }
        Ok(sent?)
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    // Errors leave out the URL, because it may hold a password.
    let without_url = reqwest::Error::without_url;
    let answer = http.execute(request.try_into()?).await.map_err(without_url)?;
    let status = answer.status();
    let mut response = Response::new(answer.bytes().await.map_err(without_url)?);
    *response.status_mut() = status;
    Ok(response)
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}
