//! Tests of the plugin.

use super::*;
use etl_plugin::testing::{combine_rows, json, reduce_rows, rows};
use etl_plugin::{Date, Decimal, Float32, Float64, Int8, Int64, Text, UInt64};

fn counts() -> Schema {
    Schema::new().key("type", Text).value("count", Int64)
}

#[test]
fn sums_the_values_of_each_key() -> Result<(), StepError> {
    let outcome = reduce_rows::<Sum>(json!({}), &counts(), [("b", 1), ("a", 2), ("b", 3)])?;
    assert_eq!(outcome.rows, rows([("a", 2), ("b", 4)]));
    Ok(())
}

#[test]
fn keeps_every_column_of_a_key() -> Result<(), StepError> {
    let input = Schema::new().key("path", Text).key("status", Int64).value("requests", Int64);
    let outcome = reduce_rows::<Sum>(json!({}), &input, [("/", 200, 1), ("/", 404, 1), ("/", 200, 1)])?;
    assert_eq!(outcome.rows, rows([("/", 200, 2), ("/", 404, 1)]));
    Ok(())
}

#[test]
fn takes_maximum_and_minimum_where_told() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("n", Int64).value("high", Float64).value("low", Int64);
    let config = json!({ "max": ["high"], "min": ["low"] });
    let outcome = reduce_rows::<Sum>(config, &input, [("a", 1, 1.5, 7), ("a", 1, 0.5, 3), ("a", 1, 1.0, 5)])?;
    assert_eq!(outcome.rows, rows([("a", 3, 1.5, 3)]));
    Ok(())
}

#[test]
fn skips_nulls() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).nullable_value("n", Int64).nullable_value("x", Float64);
    let outcome = reduce_rows::<Sum>(json!({}), &input, [("a", None, None), ("a", Some(1), None::<f64>)])?;
    assert_eq!(outcome.rows, rows([("a", 1, None::<f64>)]));
    Ok(())
}

#[test]
fn combining_first_changes_nothing() -> Result<(), StepError> {
    let input = [("a", 1), ("b", 2), ("a", 3), ("b", -4), ("c", 5)];
    let combined = [&input[..2], &input[2..]].map(|part| reduce_rows::<Sum>(json!({}), &counts(), part.to_vec()));
    let combined: Vec<_> = combined.into_iter().flat_map(|part| part.expect("sums").rows).collect();
    let pairs = combined.iter().map(|row| (&row[0], &row[1]));
    assert_eq!(
        reduce_rows::<Sum>(json!({}), &counts(), pairs)?.rows,
        reduce_rows::<Sum>(json!({}), &counts(), input)?.rows
    );
    Ok(())
}

#[test]
fn whether_a_sum_fits_does_not_depend_on_how_the_rows_are_cut_or_combined() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("n", Int64).value("x", Float64).value("high", Int64);
    let config = json!({ "max": ["high"] });
    let values = [i64::MAX, 1, i64::MAX, -1, i64::MIN, -5, i64::MIN];
    let all: Vec<_> = values.map(|value| ("a", value, 0.5, value)).into();
    let expected = reduce_rows::<Sum>(config.clone(), &input, all.clone())?.rows;
    assert_eq!(expected, rows([("a", -7, 3.5, i64::MAX)]));
    for cut in 0..=all.len() {
        let mut combined = Vec::new();
        for part in [&all[..cut], &all[cut..]] {
            let rows = combine_rows::<Sum>(config.clone(), &input, part.to_vec())?.rows;
            assert!(rows.len() <= part.len());
            combined.extend(rows);
        }
        let combined = combined.iter().map(|row| (&row[0], &row[1], &row[2], &row[3]));
        assert_eq!(reduce_rows::<Sum>(config.clone(), &input, combined)?.rows, expected, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn a_sum_out_of_range_is_fatal() {
    let error = reduce_rows::<Sum>(json!({}), &counts(), [("a", i64::MAX), ("a", 1)]);
    let message = "the sum of column `count` does not fit an int64 (the key: `type` a)".to_owned();
    assert_eq!(error, Err(StepError::Fatal(message)));
}

#[test]
fn wrong_columns_are_named() {
    let sum = |config, input: Schema| reduce_rows::<Sum>(config, &input, [("a", "b")]).expect_err("does not fit");
    assert_eq!(
        sum(json!({}), Schema::new().key("k", Text).value("name", Text)),
        StepError::InvalidInput(
            "value column `name` is text (`sum` takes integers, decimals and floating-point numbers)".to_owned()
        )
    );
    assert_eq!(
        sum(json!({ "max": ["type"] }), counts()),
        StepError::InvalidConfig(
            "`type` in `max` or `min` is not a value column (value columns: `count` int64)".to_owned()
        )
    );
    assert_eq!(
        sum(json!({ "max": ["count"], "min": ["count"] }), counts()),
        StepError::InvalidConfig("`count` is listed in both `max` and `min`".to_owned())
    );
}

fn decimal(precision: u8, scale: i8) -> DataType {
    DataType::Decimal { precision, scale }
}

#[test]
fn sums_are_exact_and_have_more_room_than_values() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("price", decimal(4, 2)).value("n", Int8).value("u", UInt64);
    let price = Decimal::new(9999, 2);
    let outcome = reduce_rows::<Sum>(json!({}), &input, [("a", price, 127, 1_u64 << 63), ("a", price, 127, 1)])?;
    assert_eq!(outcome.rows, rows([("a", Decimal::new(19_998, 2), 254, (1_u64 << 63) + 1)]));
    Ok(())
}

#[test]
fn the_largest_decimals_are_summed_in_any_order() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("n", decimal(38, 0));
    let largest = Decimal::new(10_i128.pow(38) - 1, 0);
    let smallest = Decimal::new(-(10_i128.pow(38) - 1), 0);
    let values = [largest, largest, largest, smallest, 5.into(), smallest, smallest];
    for first in 0..values.len() {
        let order = values.iter().cycle().skip(first).take(values.len());
        let outcome = reduce_rows::<Sum>(json!({}), &input, order.map(|value| ("a", value)))?;
        assert_eq!(outcome.rows, rows([("a", Decimal::from(5))]));
    }
    let error = reduce_rows::<Sum>(json!({}), &input, [("a", largest), ("a", 1.into())]);
    let message = "the sum of column `n` does not fit a decimal(38,0) (the key: `k` a)".to_owned();
    assert_eq!(error, Err(StepError::Fatal(message)));
    Ok(())
}

#[test]
fn a_combiner_emits_values_of_its_input() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("price", decimal(3, 1)).value("n", Int8);
    let values = [(999, 100), (999, -128), (-5, -128), (999, -128)];
    let all: Vec<_> = values.map(|(price, n)| ("a", Decimal::new(price, 1), n)).into();
    let expected = reduce_rows::<Sum>(json!({}), &input, all.clone())?.rows;
    assert_eq!(expected, rows([("a", Decimal::new(2992, 1), -284)]));
    for cut in 0..=all.len() {
        let mut combined = Vec::new();
        for part in [&all[..cut], &all[cut..]] {
            let rows = combine_rows::<Sum>(json!({}), &input, part.to_vec())?.rows;
            assert!(rows.len() <= part.len());
            combined.extend(rows);
        }
        let combined = combined.iter().map(|row| (&row[0], &row[1], &row[2]));
        assert_eq!(reduce_rows::<Sum>(json!({}), &input, combined)?.rows, expected, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn small_floating_point_numbers_are_summed_as_large_ones_and_not_combined() -> Result<(), StepError> {
    let input = Schema::new().key("k", Text).value("x", Float32).value("high", Float32);
    let values = [("a", 16_777_216_f32, 0.5_f32), ("a", 1.0, 0.25)];
    let config = json!({ "max": ["high"] });
    let outcome = reduce_rows::<Sum>(config.clone(), &input, values)?;
    assert_eq!(outcome.rows, rows([("a", 16_777_217.0, 0.5_f32)]));
    let message = "sums of column `x` do not fit its type float32: set `combine = false`".to_owned();
    assert_eq!(combine_rows::<Sum>(config, &input, values), Err(StepError::InvalidInput(message)));
    Ok(())
}

#[test]
fn a_key_of_any_type_is_kept_and_named() {
    let input = Schema::new().key("day", DataType::Date).key("k", Text).value("n", Int64);
    let (day, long) = (Date::from_days(0), "é".repeat(200));
    let error = reduce_rows::<Sum>(json!({}), &input, [(day, &long, i64::MAX), (day, &long, 1)]);
    let Err(StepError::Fatal(message)) = error else { panic!("expected `fatal`, found {error:?}") };
    assert!(message.contains("(the key: `day` 1970-01-01, `k` éé"), "{message}");
    assert!(message.len() < 300, "{message}");
}
