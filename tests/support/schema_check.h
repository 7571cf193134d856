/*
 * schema_check: does a JSON document fit a JSON schema? Knows the words our schemas use; one that it
 * does not know fails, so that no rule is passed over.
 *
 * Ownership  reads only.
 * Errors     false, and `why` says where and what.
 */
#ifndef FH_TESTS_SCHEMA_CHECK_H
#define FH_TESTS_SCHEMA_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct schema_check {
    const json_t *root;
    char why[512];
};

static bool schema_fits(struct schema_check *, const json_t *schema, const json_t *,
                        const char *at);

static inline bool schema_refuse(struct schema_check *c, const char *at, const char *what)
{
    snprintf(c->why, sizeof(c->why), "%.300s: %.200s", at, what);
    return false;
}

static inline bool schema_type_is(const char *type, const json_t *v)
{
    return (strcmp(type, "object") == 0 && json_is_object(v)) ||
           (strcmp(type, "array") == 0 && json_is_array(v)) ||
           (strcmp(type, "string") == 0 && json_is_string(v)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(v)) ||
           (strcmp(type, "number") == 0 && json_is_number(v)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(v)) ||
           (strcmp(type, "null") == 0 && json_is_null(v));
}

/* The value is one of these; `type` compares its kind, else itself. */
static inline bool schema_any(const json_t *list, const json_t *v, bool type)
{
    size_t i;
    json_t *one;

    json_array_foreach(list, i, one) if (type
                                             ? schema_type_is(json_string_value(one), v)
                                             : json_equal(one, (json_t *)(uintptr_t)v)) return true;
    return false;
}

static inline bool schema_members(struct schema_check *c, const json_t *schema, const json_t *v,
                                  const char *at)
{
    const json_t *known = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *one;
    size_t i;
    char place[512];

    json_array_foreach(required, i, one) if (json_object_get(v, json_string_value(one)) ==
                                             NULL) return schema_refuse(c, at,
                                                                        json_string_value(one));
    json_object_foreach((json_t *)(uintptr_t)v, key, one)
    {
        const json_t *rule = json_object_get(known, key);

        snprintf(place, sizeof(place), "%.400s/%.100s", at, key);
        if (rule == NULL && json_is_false(others))
            return schema_refuse(c, place, "not in the schema");
        if (rule == NULL)
            rule = others;
        if (rule != NULL && !schema_fits(c, rule, one, place))
            return false;
    }
    return true;
}

static inline bool schema_elements(struct schema_check *c, const json_t *rule, const json_t *v,
                                   const char *at)
{
    size_t i;
    json_t *one;

    json_array_foreach(v, i, one) if (!schema_fits(c, rule, one, at)) return false;
    return true;
}

static inline bool schema_rule(struct schema_check *c, const char *word, const json_t *rule,
                               const json_t *schema, const json_t *v, const char *at)
{
    static const char *const silent[] = {"$schema", "$defs", "title", "description", "required"};

    if (strcmp(word, "$ref") == 0)
        return schema_fits(c,
                           json_object_get(json_object_get(c->root, "$defs"),
                                           json_string_value(rule) + strlen("#/$defs/")),
                           v, at);
    if (strcmp(word, "type") == 0)
        return json_is_array(rule) ? schema_any(rule, v, true)
                                   : schema_type_is(json_string_value(rule), v);
    if (strcmp(word, "const") == 0)
        return json_equal((json_t *)(uintptr_t)rule, (json_t *)(uintptr_t)v);
    if (strcmp(word, "enum") == 0)
        return schema_any(rule, v, false);
    if (strcmp(word, "minimum") == 0)
        return json_number_value(v) >= json_number_value(rule);
    if (strcmp(word, "minItems") == 0)
        return json_array_size(v) >= (size_t)json_integer_value(rule);
    if (strcmp(word, "maxItems") == 0)
        return json_array_size(v) <= (size_t)json_integer_value(rule);
    if (strcmp(word, "items") == 0)
        return schema_elements(c, rule, v, at);
    if (strcmp(word, "properties") == 0 || strcmp(word, "additionalProperties") == 0)
        return schema_members(c, schema, v, at);
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
        if (strcmp(word, silent[i]) == 0)
            return true;
    return false;
}

static bool schema_fits(struct schema_check *c, const json_t *schema, const json_t *v,
                        const char *at)
{
    const char *word;
    json_t *rule;

    if (!json_is_object(schema))
        return schema_refuse(c, at, "the schema itself is broken here");
    json_object_foreach((json_t *)(uintptr_t)schema, word,
                        rule) if (!schema_rule(c, word, rule, schema, v, at)) return c->why[0] !=
            '\0'
        ? false
        : schema_refuse(c, at, word);
    return true;
}

#endif
