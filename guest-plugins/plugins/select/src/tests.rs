//! Tests of the plugin.

use super::*;
use etl_plugin::testing::{Json, Outcome, json, map_rows, rows};
use etl_plugin::{
    Boolean, DataType, Date, Decimal, Duration, Float64, Int64, Text, Time, Timestamp, UInt64, Unit, Value,
};

fn orders() -> Schema {
    let price = DataType::Decimal { precision: 10, scale: 2 };
    Schema::new().value("id", Int64).nullable_value("city", Text).value("price", price)
}

type Order = (i64, Option<&'static str>, Decimal);

fn order(id: i64, city: Option<&'static str>, price: &str) -> Order {
    (id, city, price.parse().expect("a decimal"))
}

fn some_orders() -> Vec<Order> {
    vec![
        order(1, Some("Bern"), "19.90"),
        order(2, None, "100"),
        order(3, Some("Chur"), "100.01"),
        order(4, Some("Bern"), "-5"),
    ]
}

fn select(config: Json) -> Outcome {
    map_rows::<Select>(config, &orders(), some_orders()).expect("no error")
}

/// Returns the ids of the orders that are kept.
fn kept(keep: Json) -> Vec<i64> {
    let outcome = select(json!({ "values": ["id"], "keep": keep }));
    (1..=4).filter(|id| outcome.rows.contains(&rows([(*id,)])[0])).collect()
}

#[test]
fn columns_become_key_and_values_in_the_order_given() -> Result<(), StepError> {
    let outcome = select(json!({ "key": ["city"], "values": ["price", "id"] }));
    assert_eq!(outcome.rows, rows(some_orders().into_iter().map(|(id, city, price)| (city, price, id))));
    assert_eq!(outcome.origins, [Some(0), Some(1), Some(2), Some(3)]);
    Ok(())
}

#[test]
fn values_are_all_other_columns_unless_they_are_named() {
    let outcome = select(json!({ "key": ["price"] }));
    assert_eq!(outcome.rows, rows(some_orders().into_iter().map(|(id, city, price)| (price, id, city))));
    assert_eq!(select(json!({})).rows, rows(some_orders()));
}

#[test]
fn a_column_to_count_rows_is_added() {
    let outcome = select(json!({ "key": ["city"], "values": [], "count": "orders" }));
    assert_eq!(outcome.rows, rows(some_orders().into_iter().map(|(_, city, _)| (city, 1))));
    assert_eq!(select(json!({ "values": [], "count": "n" })).rows, rows([(1,); 4]));
}

#[test]
fn rows_are_kept_if_all_conditions_hold() {
    assert_eq!(kept(json!([{ "column": "city", "equals": "Bern" }])), [1, 4]);
    assert_eq!(kept(json!([{ "column": "city", "not_equals": "Bern" }])), [3]);
    assert_eq!(kept(json!([{ "column": "price", "at_least": 100 }])), [2, 3]);
    assert_eq!(kept(json!([{ "column": "price", "at_most": "19.9" }])), [1, 4]);
    assert_eq!(kept(json!([{ "column": "id", "at_least": 2, "at_most": 3, "not_equals": 2 }])), [3]);
    assert_eq!(kept(json!([{ "column": "city", "equals": "Bern" }, { "column": "price", "at_least": 0 }])), [1]);
    let outcome = select(json!({ "keep": [{ "column": "id", "equals": 3 }] }));
    assert_eq!((outcome.origins, outcome.counters["dropped"]), (vec![Some(2)], 3));
}

#[test]
fn null_is_found_by_is_null_alone() {
    assert_eq!(kept(json!([{ "column": "city", "is_null": true }])), [2]);
    assert_eq!(kept(json!([{ "column": "city", "is_null": false }])), [1, 3, 4]);
    assert_eq!(kept(json!([{ "column": "city", "not_equals": "Thun" }])), [1, 3, 4]);
}

#[test]
fn values_of_every_type_are_compared() {
    fn is_compared<V: Value + Copy>(data_type: DataType, operand: Json, below: V, equal: V) {
        let input = Schema::new().value("c", data_type);
        let kept = |operator: &str| {
            let config = json!({ "keep": [{ "column": "c", operator: operand }] });
            map_rows::<Select>(config, &input, [(below,), (equal,)]).expect("no error").rows
        };
        assert_eq!(kept("equals"), rows([(equal,)]));
        assert_eq!(kept("not_equals"), rows([(below,)]));
        assert_eq!(kept("at_least"), rows([(equal,)]));
        assert_eq!(kept("at_most"), rows([(below,), (equal,)]));
    }
    let timestamp = |unit, zone: Option<&str>| DataType::Timestamp { unit, zone: zone.map(str::to_owned) };
    is_compared(Boolean, json!(true), false, true);
    is_compared(DataType::Int8, json!(-1), -2_i8, -1);
    is_compared(UInt64, json!("18446744073709551615"), 1_u64, u64::MAX);
    is_compared(DataType::Float16, json!(0.5), 0.25_f32, 0.5);
    is_compared(Float64, json!(3), 2.9, 3.0);
    is_compared(DataType::Decimal { precision: 38, scale: 9 }, json!("0.5"), Decimal::new(4, 1), Decimal::new(500, 3));
    is_compared(DataType::Date, json!("1970-01-02"), Date::from_days(0), Date::from_days(1));
    is_compared(DataType::Time(Unit::Milli), json!("00:00:01"), Time::from_millis(999), Time::from_millis(1000));
    let (below, equal) = (Timestamp::from_millis(999), Timestamp::from_millis(1000));
    is_compared(timestamp(Unit::Milli, Some("UTC")), json!("1970-01-01T01:00:01+01:00"), below, equal);
    is_compared(timestamp(Unit::Micro, None), json!("1970-01-01 00:00:01"), below, equal);
    is_compared(
        timestamp(Unit::Micro, None),
        json!("1970-01-01"),
        Timestamp::from_millis(-1),
        Timestamp::from_millis(0),
    );
    is_compared(DataType::Duration(Unit::Milli), json!(7), Duration::from_millis(6), Duration::from_millis(7));
    is_compared(Text, json!("a"), "Z", "a");
    is_compared(DataType::Binary, json!("a"), &b"Z"[..], &b"a"[..]);
}

#[test]
fn nested_values_pass_unchanged_and_can_be_null() -> Result<(), StepError> {
    let tags = DataType::map(Text, DataType::list(Int64));
    let input = Schema::new().value("id", Int64).nullable_value("tags", tags);
    let tags = |id: i64| (id != 2).then(|| vec![("k", vec![Some(id), None])]);
    let all = (1..=3).map(|id| (id, tags(id)));
    let config = json!({ "key": ["id"], "keep": [{ "column": "tags", "is_null": false }] });
    let outcome = map_rows::<Select>(config, &input, all.clone())?;
    assert_eq!(outcome.rows, rows(all.filter(|(id, _)| *id != 2)));
    Ok(())
}

fn error(config: Json) -> String {
    match map_rows::<Select>(config, &orders(), some_orders()) {
        Err(StepError::InvalidConfig(message)) => message,
        other => panic!("expected `invalid-config`, found {other:?}"),
    }
}

#[test]
fn a_wrong_column_is_named_with_the_choices() {
    let columns = "(its columns: `id` int64, `city` text, `price` decimal(10,2))";
    assert_eq!(error(json!({ "key": ["town"] })), format!("`key` names no column of the input: `town` {columns}"));
    let keep = json!({ "keep": [{ "column": "town", "equals": 1 }] });
    assert_eq!(error(keep), format!("`keep` names no column of the input: `town` {columns}"));
    let twice = "column `id` is listed twice (`key` and `values` list each column once)";
    assert_eq!(error(json!({ "key": ["id"], "values": ["id"] })), twice);
    assert_eq!(error(json!({ "values": [] })), "`key`, `values` and `count` choose no column");
    let count = error(json!({ "key": ["city"], "values": [], "count": "city" }));
    assert_eq!(count, "`count = \"city\"` is no new name (columns that are chosen: `city` text)");
}

#[test]
fn a_wrong_condition_is_named_with_the_columns_type_and_the_choices() {
    let wrong = |column: &str, operator: &str, operand: Json| {
        error(json!({ "keep": [{ "column": column, operator: operand }] }))
    };
    let message = "column `id` is int64, not `at_least = \"many\"` (it takes an integer)";
    assert_eq!(wrong("id", "at_least", json!("many")), message);
    let message = "column `id` is int64, not `equals = 1.5` (it takes an integer)";
    assert_eq!(wrong("id", "equals", json!(1.5)), message);
    let message = "column `city` is text, not `equals = 8001` (it takes text)";
    assert_eq!(wrong("city", "equals", json!(8001)), message);
    let message = "column `price` is decimal(10,2), not `at_most = 0.1` (it takes an integer, or a decimal as text: \
                   `\"19.90\"`)";
    assert_eq!(wrong("price", "at_most", json!(0.1)), message);
    let message =
        "`keep` asks nothing of column `id` (it can ask `equals`, `not_equals`, `at_least`, `at_most`, `is_null`)";
    assert_eq!(error(json!({ "keep": [{ "column": "id" }] })), message);
    let unknown = error(json!({ "keep": [{ "column": "id", "above": 1 }] }));
    assert!(unknown.contains("unknown field `above`"), "{unknown}");
}
