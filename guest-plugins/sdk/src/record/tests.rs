//! Tests of records, and of every type on its way from an emitted row to a row that is read.

use std::collections::BTreeMap;

use crate::testing::{Outcome, OwnedCell, json, map_rows, reduce_rows, rows};
use crate::{
    Cell, Context, DataType, Date, Decimal, Duration, Field, Int64, Mapper, NoConfig, Output, Record, Reducer, Rows,
    Schema, StepError, Text, Time, Timestamp, Unit,
};

/// Returns every type, each with a value of it.
fn every_type() -> Vec<(DataType, OwnedCell)> {
    let members = vec![Field::new("a", DataType::Int16), Field::nullable("b", DataType::list(Text))];
    let list = |items: &[OwnedCell]| OwnedCell::List(items.to_vec());
    let text = |text: &str| OwnedCell::Text(text.to_owned());
    let mut all = vec![
        (DataType::Boolean, OwnedCell::Boolean(true)),
        (DataType::Int8, OwnedCell::Int64(-128)),
        (DataType::Int16, OwnedCell::Int64(-32_768)),
        (DataType::Int32, OwnedCell::Int64(i32::MIN.into())),
        (Int64, OwnedCell::Int64(i64::MIN)),
        (DataType::UInt8, OwnedCell::UInt64(255)),
        (DataType::UInt16, OwnedCell::UInt64(65_535)),
        (DataType::UInt32, OwnedCell::UInt64(u32::MAX.into())),
        (DataType::UInt64, OwnedCell::UInt64(u64::MAX)),
        (DataType::Float16, OwnedCell::Float32(-1.5)),
        (DataType::Float32, OwnedCell::Float32(0.1)),
        (DataType::Float64, OwnedCell::Float64(0.1)),
        (DataType::Decimal { precision: 38, scale: 2 }, OwnedCell::Decimal(Decimal::new(-(10_i128.pow(38) - 1), 2))),
        (DataType::Date, OwnedCell::Date(Date::from_days(-1))),
        (Text, text("é")),
        (DataType::Json, text("{}")),
        (DataType::Binary, OwnedCell::Binary(vec![0xff; 40])),
        (DataType::FixedBinary(3), OwnedCell::Binary(vec![1, 2, 3])),
        (DataType::list(Int64), list(&[OwnedCell::Int64(1), OwnedCell::Null, OwnedCell::Int64(3)])),
        (DataType::list(DataType::list(Text)), list(&[list(&[text("a")]), OwnedCell::Null, list(&[])])),
        (DataType::Struct(members.clone()), OwnedCell::Struct(vec![OwnedCell::Int64(7), list(&[text("x")])])),
        (
            DataType::list(DataType::Struct(members)),
            list(&[OwnedCell::Struct(vec![OwnedCell::Int64(8), OwnedCell::Null])]),
        ),
        (
            DataType::map(Text, DataType::list(Int64)),
            OwnedCell::Map(vec![(text("k"), list(&[OwnedCell::Int64(1)])), (text("l"), OwnedCell::Null)]),
        ),
    ];
    for unit in Unit::ALL {
        let zone = Some("Europe/Zurich".to_owned());
        all.push((DataType::Time(unit), OwnedCell::Time(Time::new(86_399, unit))));
        all.push((DataType::Timestamp { unit, zone: None }, OwnedCell::Timestamp(Timestamp::new(-5, unit))));
        all.push((DataType::Timestamp { unit, zone }, OwnedCell::Timestamp(Timestamp::new(i64::MAX, unit))));
        all.push((DataType::Duration(unit), OwnedCell::Duration(Duration::new(i64::MIN, unit))));
    }
    all
}

/// Emits its input.
struct Echo(Schema);

impl Mapper for Echo {
    type Config = NoConfig;

    fn open(_: NoConfig, context: &Context) -> Result<Self, StepError> {
        Ok(Self(context.input.clone()))
    }

    fn schema(&self) -> Schema {
        self.0.clone()
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        (0..rows.len())
            .try_for_each(|row| out.emit_cells((0..rows.fields().len()).map(|column| rows.cell(column, row))))
    }
}

#[test]
fn a_value_of_every_type_is_read_as_it_was_emitted() -> Result<(), StepError> {
    let types = every_type();
    for nulls in [0, 1, 2, 3, 9] {
        let mut schema = Schema::new();
        for (i, (data_type, _)) in types.iter().enumerate() {
            schema = schema.nullable_value(&format!("c{i}"), data_type.clone());
        }
        let row = |number: usize| {
            let is_null = move |column: usize| nulls > 0 && (number + column).is_multiple_of(nulls);
            let cells = types.iter().enumerate();
            cells
                .map(move |(i, (_, value))| if is_null(i) { OwnedCell::Null } else { value.clone() })
                .collect::<Vec<_>>()
        };
        let input: Vec<_> = (0..20).map(row).collect();
        let outcome = map_rows::<Echo>(json!({}), &schema, input.iter().map(Whole))?;
        assert_eq!(outcome.rows, input, "{nulls}");
    }
    Ok(())
}

/// A row of any number of cells.
struct Whole<'a>(&'a Vec<OwnedCell>);

impl crate::Row for Whole<'_> {
    fn each_cell<E>(&self, each: impl FnMut(Cell<'_>) -> Result<(), E>) -> Result<(), E> {
        self.0.iter().map(crate::Value::cell).try_for_each(each)
    }
}

#[derive(Record, Clone, Debug, PartialEq)]
struct Order<'a> {
    #[record(key)]
    city: &'a str,
    #[record(name = "total price", decimal(10, 2))]
    price: Decimal,
    #[record(timestamp(us, "UTC"))]
    at: Option<Timestamp>,
    #[record(time(ms))]
    time: Time,
    #[record(duration(s))]
    took: Duration,
    day: Date,
    #[record(float16)]
    weight: f32,
    #[record(binary(2))]
    code: &'a [u8],
    #[record(json)]
    raw: String,
    pieces: u32,
    tags: Vec<Option<&'a str>>,
    #[record(list(decimal(4, 1)))]
    discounts: Vec<Decimal>,
    counts: BTreeMap<String, i64>,
    actor: Option<Actor<'a>>,
    visits: Vec<Actor<'a>>,
    hash: Vec<u8>,
}

#[derive(Record, Clone, Debug, PartialEq)]
struct Actor<'a> {
    login: &'a str,
    age: Option<i8>,
}

fn orders() -> Vec<Order<'static>> {
    let first = Order {
        city: "Bern",
        price: Decimal::new(1990, 2),
        at: Some(Timestamp::from_micros(5)),
        time: Time::from_millis(7),
        took: Duration::from_seconds(9),
        day: Date::from_days(20_785),
        weight: 0.5,
        code: b"ab",
        raw: "[1]".to_owned(),
        pieces: 3,
        tags: vec![Some("new"), None],
        discounts: vec![Decimal::new(5, 1)],
        counts: [("a".to_owned(), 1), ("b".to_owned(), 2)].into(),
        actor: Some(Actor { login: "ann", age: None }),
        visits: vec![Actor { login: "bob", age: Some(-1) }, Actor { login: "cyd", age: None }],
        hash: vec![1, 2],
    };
    let empty = Order {
        city: "Chur",
        at: None,
        tags: vec![],
        discounts: vec![],
        counts: BTreeMap::new(),
        actor: None,
        visits: vec![],
        hash: vec![],
        ..first.clone()
    };
    vec![first.clone(), empty, first]
}

/// Emits the orders that it reads, each made of its row.
struct Orders;

impl Mapper for Orders {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        Schema::of::<Order>()
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        let read: Vec<Order> = rows.records()?.collect();
        read.iter().enumerate().try_for_each(|(row, order)| out.from_row(row).emit(order))
    }
}

#[test]
fn a_record_is_read_as_it_was_emitted() -> Result<(), StepError> {
    let outcome = map_rows::<Orders>(json!({}), &Schema::of::<Order>(), orders())?;
    assert_eq!(outcome.rows, rows(orders()));
    assert_eq!(outcome.origins, [Some(0), Some(1), Some(2)]);
    assert_ne!(outcome.rows[0], outcome.rows[1]);
    Ok(())
}

#[test]
fn a_record_gives_its_schema() {
    let schema = Schema::of::<Order>();
    let names = "`city` text, `total price` decimal(10,2), `at` timestamp(us, UTC), `time` time(ms), `took` duration(s), \
                 `day` date, `weight` float16, `code` binary(2), `raw` json, `pieces` uint32, `tags` list<text>, \
                 `discounts` list<decimal(4,1)>, `counts` map<text, int64>, `actor` struct<login: text, age: int8>, \
                 `visits` list<struct<login: text, age: int8>>, `hash` binary";
    assert_eq!((schema.to_string().as_str(), schema.key_fields), (names, 1));
    let nullable: Vec<_> = schema.fields.iter().filter(|field| field.nullable).map(|field| &*field.name).collect();
    assert_eq!(nullable, ["at", "actor"]);
}

/// Reads the records of type `R` and emits nothing.
struct Reads<R>(std::marker::PhantomData<R>);

trait ReadAll {
    fn read_all(rows: Rows<'_>) -> Result<usize, StepError>;
}

macro_rules! reads {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* })*) => {
        $(#[derive(Record)]
        struct $name { $($(#[$attribute])* $field: $type),* }

        impl ReadAll for $name {
            fn read_all(rows: Rows<'_>) -> Result<usize, StepError> {
                Ok(rows.records::<Self>()?.count())
            }
        })*
    };
}

reads! {
    OneNumber { n: i64 }
    MaybeNumber { n: Option<i64> }
    Prices { #[record(decimal(10, 2))] n: Decimal }
    Numbers { n: Vec<i64> }
    Nested { n: OneNumber }
    MaybeNested { n: Option<OneNumber> }
}

impl<R: ReadAll> Mapper for Reads<R> {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self(std::marker::PhantomData))
    }

    fn schema(&self) -> Schema {
        Schema::lines()
    }

    fn map(&mut self, rows: Rows<'_>, _: &mut Output) -> Result<(), StepError> {
        R::read_all(rows).map(drop)
    }
}

fn read<R: ReadAll>(data_type: DataType, values: &[OwnedCell]) -> Result<Outcome, StepError> {
    map_rows::<Reads<R>>(json!({}), &Schema::new().nullable_value("n", data_type), values.iter().map(|value| (value,)))
}

#[test]
fn a_column_that_is_no_field_of_the_record_is_named() {
    let message = |result: Result<Outcome, StepError>| match result {
        Err(StepError::InvalidInput(message)) => message,
        other => panic!("expected `invalid-input`, found {other:?}"),
    };
    let other = Schema::new().value("m", Int64);
    assert_eq!(
        message(map_rows::<Reads<OneNumber>>(json!({}), &other, [(1,)])),
        "the input has no column `n` (its columns: `m` int64)"
    );
    assert_eq!(
        message(read::<OneNumber>(DataType::Int32, &[OwnedCell::Null])),
        "column `n` of the input is int32, not int64"
    );
    assert_eq!(
        message(read::<Prices>(DataType::Decimal { precision: 10, scale: 3 }, &[OwnedCell::Null])),
        "column `n` of the input is decimal(10,3), not decimal(10,2)"
    );
    assert_eq!(
        message(read::<Numbers>(DataType::list(Text), &[OwnedCell::Null])),
        "column `n` of the input is text, not int64"
    );
}

#[test]
fn what_a_schema_check_accepts_can_be_read() -> Result<(), StepError> {
    Schema::of::<Order>().check::<Order>()?;
    let members = |data_type| vec![Field::new("m", Text), Field::nullable("n", data_type)];
    let wider = Schema::new().value("m", Text).value("n", DataType::Struct(members(Int64)));
    wider.check::<Nested>()?;
    map_rows::<Reads<Nested>>(json!({}), &wider, [("x", OwnedCell::Struct(rows([("y", 1)]).remove(0)))])?;
    let other = Schema::new().value("n", DataType::Struct(members(Text)));
    let message = "column `n` of the input is struct<m: text, n: text>, not struct<n: int64>".to_owned();
    assert_eq!(other.check::<Nested>(), Err(StepError::InvalidInput(message)));
    let error = Schema::lines().check::<Nested>().expect_err("there is no such column");
    assert_eq!(error, StepError::InvalidInput("the input has no column `n` (its columns: `line` binary)".to_owned()));
    Ok(())
}

#[test]
fn a_null_where_the_record_takes_none_is_named() -> Result<(), StepError> {
    let struct_of = |field| DataType::Struct(vec![field]);
    let maybe = struct_of(Field::nullable("n", Int64));
    let null = |result: Result<Outcome, StepError>| match result {
        Err(StepError::InvalidInput(message)) => {
            assert!(message.starts_with("column `n` of the input is null in row 0 "), "{message}");
        }
        other => panic!("expected `invalid-input`, found {other:?}"),
    };
    null(read::<OneNumber>(Int64, &[OwnedCell::Null]));
    null(read::<Numbers>(DataType::list(Int64), &[OwnedCell::List(vec![OwnedCell::Null])]));
    null(read::<Nested>(maybe.clone(), &[OwnedCell::Null]));
    null(read::<MaybeNested>(maybe.clone(), &[OwnedCell::Struct(vec![OwnedCell::Null])]));
    read::<MaybeNumber>(Int64, &[OwnedCell::Null])?;
    read::<MaybeNested>(maybe, &[OwnedCell::Null, OwnedCell::Struct(vec![OwnedCell::Int64(1)])])?;
    Ok(())
}

/// Sums the prices of each city, read as records.
struct Total;

impl Reducer for Total {
    type Config = NoConfig;
    type State = Decimal;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        Schema::new().key("city", Text).value("price", DataType::Decimal { precision: 38, scale: 2 })
    }

    fn fold(&mut self, total: &mut Decimal, rows: Rows<'_>) -> Result<(), StepError> {
        for order in rows.records::<Order>()? {
            *total = total.checked_add(order.price).ok_or_else(|| StepError::Fatal("too much".to_owned()))?;
        }
        Ok(())
    }

    fn end(&mut self, key: &[Cell<'_>], total: Decimal, out: &mut Output) -> Result<(), StepError> {
        out.emit((key[0], total))
    }
}

#[test]
fn a_reducer_reads_the_records_of_its_key_only() -> Result<(), StepError> {
    let outcome = reduce_rows::<Total>(json!({}), &Schema::of::<Order>(), orders())?;
    assert_eq!(outcome.rows, rows([("Bern", Decimal::new(398, 1)), ("Chur", Decimal::new(1990, 2))]));
    assert_eq!(outcome.origins, [None, None]);
    Ok(())
}

/// Reads nested columns without a record, and emits what it finds.
struct Views;

impl Mapper for Views {
    type Config = NoConfig;

    fn open(_: NoConfig, _: &Context) -> Result<Self, StepError> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        let schema = Schema::new().nullable_value("tag", Text).nullable_value("login", Text);
        schema.value("visitors", DataType::list(Text)).value("b", Int64)
    }

    fn map(&mut self, rows: Rows<'_>, out: &mut Output) -> Result<(), StepError> {
        let (tags, actors) = (rows.list("tags")?, rows.structure("actor")?);
        let (logins, visits, counts) = (actors.members().text("login")?, rows.list("visits")?, rows.map("counts")?);
        for row in 0..rows.len() {
            let tag = tags.get(row).filter(|tags| !tags.is_empty()).map(|tags| tags.text()).transpose()?;
            let visitors = visits.get(row).expect("not null").structure()?.members();
            let visitors: Vec<_> = visitors.text("login")?.iter().collect();
            let login = if actors.is_null(row) { None } else { logins.get(row) };
            let counts = counts.get(row).expect("not null");
            let keys = counts.keys().text()?;
            let b = keys.iter().position(|key| key == Some("b"));
            let b = b.map(|b| counts.values().int64().map(|values| values.get(b))).transpose()?.flatten();
            out.from_row(row).emit((tag.and_then(|tags| tags.get(0)), login, visitors, b.unwrap_or(0)))?;
        }
        Ok(())
    }
}

#[test]
fn nested_columns_are_read_as_columns() -> Result<(), StepError> {
    let outcome = map_rows::<Views>(json!({}), &Schema::of::<Order>(), orders())?;
    let full = (Some("new"), Some("ann"), vec!["bob", "cyd"], 2);
    assert_eq!(outcome.rows, rows([full.clone(), (None, None, vec![], 0), full]));
    Ok(())
}
