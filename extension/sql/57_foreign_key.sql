-- By which foreign key do rows of a related table hang on those of another one, and how is that asked? What is equal the constraint
-- says, by operators of its own: equal values may look different (citext, char(n), numeric, timestamps), and be of different types.

CREATE FUNCTION objectlink.qualified_type(p_type oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  -- As it is called, because "character" and "bit" mean one character, and one bit.
  SELECT format('%I.%I', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = p_type
$$;
COMMENT ON FUNCTION objectlink.qualified_type(oid) IS 'how a type is named in a statement, without modifier, whatever the search_path';

-- PostgreSQL builds the queries of its own checks in this way (ruleutils.c, generate_operator_clause): the operand becomes what the operator takes.
CREATE FUNCTION objectlink.compared(p_left text, p_left_type oid, p_operator oid, p_right text, p_right_type oid, p_collation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('(%s%s)%s OPERATOR(%I.%s) (%s%s)',
                p_left, CASE WHEN l.oid <> p_left_type THEN '::' || objectlink.qualified_type(l.oid) END,
                (SELECT format(' COLLATE %I.%I', cn.nspname, c.collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace WHERE c.oid = p_collation),
                n.nspname, o.oprname,
                p_right, CASE WHEN r.oid <> p_right_type THEN '::' || objectlink.qualified_type(r.oid) END)
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace JOIN pg_type l ON l.oid = o.oprleft JOIN pg_type r ON r.oid = o.oprright
  WHERE o.oid = p_operator
$$;
COMMENT ON FUNCTION objectlink.compared(text, oid, oid, text, oid, oid) IS 'the condition that an operator holds between two expressions of some types, in a collation (0: none)';

-- The key by which the rows of a table hang on those of the attached table, or of a related one that is nearer to it.
CREATE FUNCTION objectlink.parent_of(p_attachment_id int, p_root oid, p_relation oid, OUT parent oid, OUT foreign_key oid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT c.confrelid, c.oid INTO parent, foreign_key
    FROM pg_constraint c
    LEFT JOIN objectlink.related_table r ON r.attachment_id = p_attachment_id AND r.relation = c.confrelid
    WHERE c.contype = 'f' AND c.conrelid = p_relation AND c.conparentid = 0 AND c.confrelid <> p_relation
      AND (c.confrelid = p_root OR r.depth < coalesce((SELECT s.depth FROM objectlink.related_table s
                                                       WHERE s.attachment_id = p_attachment_id AND s.relation = p_relation), 2147483647))
    ORDER BY CASE WHEN c.confrelid = p_root THEN 0 ELSE r.depth END, c.oid LIMIT 1;
END $$;
COMMENT ON FUNCTION objectlink.parent_of(int, oid, oid) IS 'the table on whose rows those of a related table hang, and by which foreign key; NULL: there is none';

-- Types are those below domains: a value that is only compared needs no check of its domain, whose code would run.
CREATE FUNCTION objectlink.foreign_key_columns(p_key oid)
RETURNS TABLE (n bigint, name name, type oid, parent_name name, parent_type oid, operator oid, "collation" oid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.n, a.attname, objectlink.base_type(a.atttypid), p.attname, objectlink.base_type(p.atttypid), k.operator,
         -- As a cascade asks: of two that tell bytes apart either is right, and the index is likely to be in the child's.
         CASE WHEN (SELECT c.collisdeterministic FROM pg_collation c WHERE c.oid = p.attcollation) IS FALSE THEN p.attcollation ELSE a.attcollation END
  FROM pg_constraint f
  CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY AS k (child, parent, operator, n)
  JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.child
  JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = k.parent
  WHERE f.oid = p_key
$$;
COMMENT ON FUNCTION objectlink.foreign_key_columns(oid) IS 'the columns of a foreign key, with those that they refer to and what compares them';

-- In a statement, p: the values of the columns that are referred to, called p1, p2...
CREATE FUNCTION objectlink.parent_values(p_key oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('p (%s)', string_agg(format('p%s %s', c.n, objectlink.qualified_type(c.parent_type)), ', ' ORDER BY c.n)) FROM objectlink.foreign_key_columns(p_key) c
$$;
COMMENT ON FUNCTION objectlink.parent_values(oid) IS 'what jsonb_to_recordset() gives for what a foreign key refers to: name, columns and their types';

-- NULL refers to nothing (MATCH SIMPLE), which the operators know.
CREATE FUNCTION objectlink.hangs_on(p_key oid, p_child text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(objectlink.compared(format('p.p%s', c.n), c.parent_type, c.operator, format('%s.%I', p_child, c.name), c.type, c."collation"), ' AND ' ORDER BY c.n)
  FROM objectlink.foreign_key_columns(p_key) c
$$;
COMMENT ON FUNCTION objectlink.hangs_on(oid, text) IS 'the condition that a row refers to p by a foreign key';

CREATE FUNCTION objectlink.key_columns(p_relation oid) RETURNS name[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(a.attname ORDER BY k.n)
  FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (num, n)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
  WHERE i.indrelid = p_relation AND i.indisprimary AND k.n <= i.indnkeyatts
$$;
COMMENT ON FUNCTION objectlink.key_columns(oid) IS 'the columns of a primary key; NULL: there is none';

CREATE FUNCTION objectlink.has_same_key(p_relation oid, p_left text, p_right text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(objectlink.compared(format('%s.%I', p_left, a.attname), t.oid, o.amopopr, format('%s.%I', p_right, a.attname), t.oid, k."collation"), ' AND ' ORDER BY k.n)
  FROM pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::smallint[], i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY AS k (num, class, "collation", n)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
  CROSS JOIN LATERAL objectlink.base_type(a.atttypid) AS t (oid)
  JOIN pg_opclass c ON c.oid = k.class
  JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype AND o.amopstrategy = 3  -- BTEqualStrategyNumber
  WHERE i.indrelid = p_relation AND i.indisprimary AND k.n <= i.indnkeyatts
$$;
COMMENT ON FUNCTION objectlink.has_same_key(oid, text, text) IS 'the condition that two rows of a table have the same primary key; NULL: there is none';
