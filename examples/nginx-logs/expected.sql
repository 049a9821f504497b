-- Run in this directory: duckdb < expected.sql
COPY (
    WITH lines AS (
        SELECT regexp_extract(line,
            '^[^ ]+ - [^ ]+ \[[^ ]+ [^ ]+\] "[^"]*" ([0-9]{3}) ([0-9]+) "[^"]*" "([^"]*)"$',
            ['status', 'bytes', 'agent']) AS field
        FROM read_csv('input/*.gz', delim = '\0', quote = '', escape = '', header = false, columns = { line: 'VARCHAR' })
    )
    SELECT field.status::BIGINT AS status, sum(field.bytes::BIGINT) AS bytes, count(*) AS requests
    FROM lines
    WHERE field.status <> '' AND field.agent <> 'curl/8.16.0'
    GROUP BY status
    ORDER BY status
) TO 'expected/part-00000.csv' (HEADER);
