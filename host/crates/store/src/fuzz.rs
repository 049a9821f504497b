//! The fuzz target for the answers of cloud stores.
//!
//! It takes arbitrary bytes, and panics when a promise is broken. The target in `host/fuzz` calls it with bytes that are
//! made to reach every branch, the test here with seeds. Not part of the program.

use object_store::path::Path;

use crate::{
    misfits,
    xml::{self, Document},
};

/// Checks answers: one that is a document has, with its misfits marked, the same keys, all of which the library can
/// name.
pub fn answer(data: &[u8]) {
    _ = xml::code(&String::from_utf8_lossy(data));
    let Some(document) = Document::parse(data) else { return };
    let Some(marked) = misfits::mark(&document) else { return };
    let marked = Document::parse(marked.as_bytes()).expect("as well-formed as before");
    let read: Vec<String> = misfits::keys(&marked)
        .map(|(_, key)| misfits::key_of(&Path::parse(key).expect("the library can name it")).into_owned())
        .collect();
    let before: Vec<String> = misfits::keys(&document).map(|(_, key)| key.into_owned()).collect();
    assert_eq!(read, before);
}

#[cfg(test)]
mod tests {
    use etl_core::testing::check_target;

    use super::*;

    #[test]
    fn answers() {
        let listings = [
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>\
             <Contents><Key>a//&amp;b</Key><Size>1</Size></Contents><Contents><Key>a/</Key></Contents>\
             <Contents><Key>\u{f8ff}misfit-61</Key></Contents><Contents><Key>c</Key></Contents>\
             <NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
            "<EnumerationResults><Blobs><Blob><Name>a&#x9;/./b</Name></Blob><BlobPrefix/></Blobs></EnumerationResults>",
            "<Error><Code>NoSuchKey</Code><Key><![CDATA[x]]></Key><!-- c --></Error>",
        ];
        check_target("answer", listings.map(|text| text.as_bytes().to_vec()).to_vec(), answer);
    }
}
