//! The directory of an object: what its row groups and columns are, and where.
//!
//! Owns how the end of an object is read, and the checks that make what it says usable. Everything in it was written by
//! others.

use std::{
    cell::Cell,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{Arc, Once},
};

use arrow_schema::{DataType, Field, Fields};
use bytes::Bytes;
use etl_core::model::{
    error::{Error, Result},
    object::Compression,
};
use parquet::{
    arrow::parquet_to_arrow_schema,
    basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType},
    errors::ParquetError,
    file::metadata::{
        ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
        RowGroupMetaData,
    },
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

use crate::{
    Section,
    content::{HEAD_BYTES, looks},
};

/// Number of bytes at the end of an object that are read first. Most directories fit.
pub(super) const END_BYTES: u64 = 64 << 10;

/// Maximum size of a directory in bytes.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

/// Number of bytes behind the directory: its length, and a magic number.
const FOOTER_BYTES: u64 = 8;

const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";

/// The directory of an object.
pub(super) struct Directory {
    pub(super) metadata: ParquetMetaData,
    /// The columns, as the file says; text and bytes in each of their forms are `Utf8` and `Binary`, all lists are
    /// `List`, dictionaries are what they hold.
    pub(super) fields: Fields,
    /// The columns, with text and times of 96 bits as bytes, which are not checked while they are read.
    pub(super) as_read: SchemaDescriptor,
    /// Where each row group starts, and the number of its first row.
    pub(super) groups: Vec<GroupStart>,
}

/// The start of a row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupStart {
    /// Position of its first page; `None` if it has no rows.
    pub(super) at: Option<u64>,
    pub(super) first_row: u64,
    pub(super) rows: u64,
}

/// Returns the directory of a section's object.
///
/// # Errors
/// [`ErrorKind::Input`](etl_core::model::error::ErrorKind::Input), which names the object, when it is no Parquet, damaged
/// or encrypted; as [`ReadAt::read`](crate::ReadAt::read).
pub(super) fn open(section: &Section) -> Result<Arc<Directory>> {
    section.directory(|| {
        let bytes = read(section)?;
        let directory = Directory::parse(&section.object, section.size, &bytes)?;
        // What is parsed takes a few times as much as what is written.
        Ok((directory, 4 * bytes.len() as u64))
    })
}

fn read(section: &Section) -> Result<Bytes> {
    let (object, size) = (&section.object, section.size);
    if section.compression != Compression::None {
        return Err(Error::input(format!(
            "object `{object}` is named as compressed, but Parquet is read by position: decompress it"
        )));
    }
    let end_at = size.saturating_sub(END_BYTES);
    let end = section.bytes.read(end_at..size)?;
    let Some((length, magic)) = end.last_chunk::<8>().and_then(|footer| footer.split_first_chunk::<4>()) else {
        return Err(no_parquet(section)?);
    };
    if magic == MAGIC_ENCRYPTED {
        return Err(encrypted(object));
    }
    if magic != MAGIC {
        return Err(no_parquet(section)?);
    }
    let length = u64::from(u32::from_le_bytes(*length));
    let start = size.checked_sub(FOOTER_BYTES + length).filter(|start| *start >= MAGIC.len() as u64);
    let start = start.ok_or_else(|| {
        damaged(object, format!("its directory would have {length} bytes, and the object has {size}"))
    })?;
    if length > DIRECTORY_BYTES_MAX {
        return Err(Error::input(format!(
            "object `{object}` has a directory of {length} bytes (limit {DIRECTORY_BYTES_MAX} bytes): write it with \
             fewer columns or larger row groups"
        )));
    }
    let behind = size - FOOTER_BYTES;
    match start.checked_sub(end_at) {
        Some(skipped) => Ok(end.slice(skipped as usize..(behind - end_at) as usize)),
        None => section.bytes.read(start..behind),
    }
}

/// Returns the error that an object is no Parquet, with what it looks like.
fn no_parquet(section: &Section) -> Result<Error> {
    let object = &section.object;
    let head = section.bytes.read(0..section.size.min(HEAD_BYTES as u64))?;
    if head.starts_with(MAGIC) {
        return Ok(Error::input(format!(
            "object `{object}` starts like Parquet, but does not end like it: it is cut off or damaged"
        )));
    }
    Ok(Error::input(format!("object `{object}` is no Parquet: it begins like {}", looks(&head))))
}

fn encrypted(object: &str) -> Error {
    Error::input(format!("object `{object}` is encrypted Parquet, which is not read: decrypt it, or leave it out"))
}

/// Returns the error that an object is damaged.
pub(super) fn damaged(object: &str, what: impl std::fmt::Display) -> Error {
    Error::input(format!("object `{object}` is damaged: {what}"))
}

thread_local! {
    /// Whether a panic of this thread is an error of bytes, which is reported as such and not by the panic's hook.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls a function of the library on bytes of others. A panic of it is an error, too: some damage is met by one.
///
/// # Errors
/// What is wrong, as text.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                hook(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let called = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    match called {
        Ok(called) => called.map_err(|error| without_layers(&error.to_string())),
        Err(_) => Err("it makes no sense to the decoder".to_owned()),
    }
}

/// Returns a message of the library without the names of the layers that it came through.
fn without_layers(message: &str) -> String {
    const LAYERS: [&str; 5] = ["External: ", "Parquet argument error: ", "Parquet error: ", "Arrow: ", "EOF: "];
    let mut message = message;
    while let Some(rest) = LAYERS.iter().find_map(|layer| message.strip_prefix(layer)) {
        message = rest;
    }
    message.to_owned()
}

impl Directory {
    fn parse(object: &str, size: u64, bytes: &[u8]) -> Result<Self> {
        let wrong = |what: String| damaged(object, format!("its directory cannot be read: {what}"));
        let skip = || ParquetStatisticsPolicy::SkipAll;
        let options = ParquetMetaDataOptions::new().with_encoding_stats_policy(skip());
        let options = options.with_column_stats_policy(skip()).with_size_stats_policy(skip());
        let metadata =
            guarded(|| ParquetMetaDataReader::decode_metadata_with_options(bytes, Some(&options))).map_err(wrong)?;
        let file = metadata.file_metadata();
        let schema = guarded(|| {
            let described = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
            described.or_else(|_| parquet_to_arrow_schema(file.schema_descr(), None))
        });
        let fields = schema.map_err(wrong)?.fields.iter().map(|field| plain(field)).collect();
        let as_read = guarded(|| bytes_for_text(file.schema_descr())).map_err(wrong)?;
        let mut first_row = 0_u64;
        let mut groups = Vec::with_capacity(metadata.num_row_groups());
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let start = start_of(group, first_row, size)
                .map_err(|what| damaged(object, format!("row group {number} {what}")))?;
            first_row = first_row.saturating_add(start.rows);
            groups.push(start);
        }
        Ok(Self { fields, as_read, groups, metadata })
    }

    /// Returns the numbers of the row groups that start in a range.
    pub(super) fn within(&self, range: &Range<u64>) -> Vec<usize> {
        let starts = self.groups.iter().enumerate();
        starts.filter(|(_, start)| start.at.is_some_and(|at| range.contains(&at))).map(|(group, _)| group).collect()
    }

    pub(super) fn group(&self, group: usize) -> &RowGroupMetaData {
        self.metadata.row_group(group)
    }
}

/// Returns where a row group starts, or what is wrong with it.
fn start_of(group: &RowGroupMetaData, first_row: u64, size: u64) -> Result<GroupStart, String> {
    let rows = u64::try_from(group.num_rows()).map_err(|_| "has a negative number of rows".to_owned())?;
    let mut at = None;
    for column in group.columns() {
        if column.file_path().is_some_and(|path| !path.is_empty()) {
            return Err("has columns in other files".to_owned());
        }
        let range = range_of(column).filter(|range| range.end <= size);
        let range = range
            .ok_or_else(|| format!("has column `{}` beyond the object", column.column_path().parts().join(".")))?;
        at = Some(at.map_or(range.start, |at: u64| at.min(range.start)));
    }
    Ok(GroupStart { at: at.filter(|_| rows > 0), first_row, rows })
}

/// Returns where the pages of a column are; `None` if it makes no sense. Some writers say 0 for a dictionary that they
/// do not have.
pub(super) fn range_of(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let data = column.data_page_offset();
    let start = column.dictionary_page_offset().filter(|at| *at > 0 && *at < data).unwrap_or(data);
    let (start, length) = (u64::try_from(start).ok()?, u64::try_from(column.compressed_size()).ok()?);
    Some(start..start.checked_add(length)?)
}

/// Returns a field with one form of each kind of text, bytes and lists, and without dictionaries.
fn plain(field: &Field) -> Field {
    let part = |part: &Field| Arc::new(plain(part));
    let data_type = match field.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(&Field::new("", (**values).clone(), true)).data_type().clone(),
        DataType::RunEndEncoded(_, values) => plain(values).data_type().clone(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(part(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(|member| plain(member)).collect()),
        DataType::Map(entries, sorted) => DataType::Map(part(entries), *sorted),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// Returns a schema in which text is bytes, so that reading does not check it, and so are times of 96 bits. They are
/// checked value by value later.
fn bytes_for_text(schema: &SchemaDescriptor) -> Result<SchemaDescriptor, ParquetError> {
    Ok(SchemaDescriptor::new(without_text(&schema.root_schema_ptr())?))
}

fn without_text(node: &TypePtr) -> Result<TypePtr, ParquetError> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match node.as_ref() {
        Type::PrimitiveType { physical_type: PhysicalType::BYTE_ARRAY, .. } if !is_other(node) => {
            let text = Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY);
            Ok(Arc::new(text.with_repetition(info.repetition()).with_id(id).build()?))
        }
        // These are decoded here: the library makes 64 bits of them, which are too few for some.
        Type::PrimitiveType { physical_type: PhysicalType::INT96, .. } => {
            let bytes = Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY);
            Ok(Arc::new(bytes.with_length(12).with_repetition(info.repetition()).with_id(id).build()?))
        }
        Type::PrimitiveType { .. } => Ok(Arc::clone(node)),
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(without_text).collect::<Result<_, _>>()?;
            let group = Type::group_type_builder(info.name()).with_fields(fields).with_id(id);
            let group =
                group.with_converted_type(info.converted_type()).with_logical_type(info.logical_type_ref().cloned());
            let repetition = if info.has_repetition() { Some(info.repetition()) } else { None::<Repetition> };
            let group = match repetition {
                Some(repetition) => group.with_repetition(repetition),
                None => group,
            };
            Ok(Arc::new(group.build()?))
        }
    }
}

/// Returns whether the bytes of a column are something else than text or bytes.
fn is_other(node: &TypePtr) -> bool {
    let info = node.get_basic_info();
    let is_logical = matches!(info.logical_type_ref(), Some(LogicalType::Decimal(_) | LogicalType::Unknown));
    is_logical || info.converted_type() == ConvertedType::DECIMAL
}
