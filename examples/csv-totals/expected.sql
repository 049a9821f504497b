-- Run in this directory: duckdb < expected.sql
COPY (
    SELECT city, sum(total) AS total, count(*) AS orders
    FROM read_csv('input/*.csv', delim = ';', header = true, columns = {
        "order": 'BIGINT', date: 'DATE', city: 'VARCHAR', note: 'VARCHAR', total: 'DECIMAL(10,2)'
    })
    WHERE city IS NOT NULL
    GROUP BY city
    ORDER BY city
) TO 'expected/part-00000.csv' (HEADER);
