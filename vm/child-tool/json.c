/* Flat JSON objects: see child-tool.h. Pure. */
#include <stdio.h>
#include <string.h>

#include "child-tool.h"

static void put(struct json_writer *writer, const char *bytes, size_t size)
{
	/* Room is kept for the end, so that it always fits. */
	if (writer->full || size > sizeof(writer->text) - 2 - writer->size) {
		writer->full = true;
		return;
	}
	memcpy(writer->text + writer->size, bytes, size);
	writer->size += size;
}

/* The length of the UTF-8 character at text, 0 if there is none: no surrogates, nothing over U+10FFFF, the shortest form only. */
static size_t character_size(const unsigned char *text)
{
	static const struct {
		unsigned char first, last, second_first, second_last, size;
	} forms[] = {
		{ 0x01, 0x7f, 0x80, 0xbf, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	for (size_t form = 0; form < sizeof(forms) / sizeof(forms[0]); form++) {
		if (text[0] < forms[form].first || text[0] > forms[form].last)
			continue;
		if (forms[form].size > 1 && (text[1] < forms[form].second_first || text[1] > forms[form].second_last))
			return 0;
		for (size_t at = 2; at < forms[form].size; at++)
			if (text[at] < 0x80 || text[at] > 0xbf)
				return 0;
		return forms[form].size;
	}
	return 0;
}

bool is_utf8(const char *text)
{
	while (*text != '\0') {
		size_t size = character_size((const unsigned char *)text);
		if (size == 0)
			return false;
		text += size;
	}
	return true;
}

static void put_string(struct json_writer *writer, const char *value)
{
	put(writer, "\"", 1);
	while (*value != '\0') {
		unsigned char byte = (unsigned char)*value;
		size_t size = character_size((const unsigned char *)value);
		char escaped[8];
		if (size == 0) {
			put(writer, "\xef\xbf\xbd", 3);
			size = 1;
		} else if (byte == '"' || byte == '\\') {
			snprintf(escaped, sizeof(escaped), "\\%c", byte);
			put(writer, escaped, 2);
		} else if (byte < 0x20 || byte == 0x7f) {
			snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned int)byte);
			put(writer, escaped, 6);
		} else {
			put(writer, value, size);
		}
		value += size;
	}
	put(writer, "\"", 1);
}

static void put_key(struct json_writer *writer, const char *key)
{
	put(writer, writer->size == 1 ? "" : ",", writer->size == 1 ? 0 : 1);
	put_string(writer, key);
	put(writer, ":", 1);
}

void json_start(struct json_writer *writer)
{
	writer->size = 0;
	writer->full = false;
	put(writer, "{", 1);
}

void json_number(struct json_writer *writer, const char *key, uint64_t value)
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	put_key(writer, key);
	put(writer, digits, (size_t)length);
}

void json_fraction(struct json_writer *writer, const char *key, double value)
{
	char digits[32];
	int size = snprintf(digits, sizeof(digits), "%.6f", value);
	put_key(writer, key);
	put(writer, digits, (size_t)size);
}

void json_string(struct json_writer *writer, const char *key, const char *value)
{
	put_key(writer, key);
	put_string(writer, value);
}

size_t json_finish(struct json_writer *writer)
{
	if (writer->full)
		return 0;
	writer->text[writer->size++] = '}';
	writer->text[writer->size++] = '\n';
	return writer->size;
}

struct reader {
	const char *at, *end;
	bool bad;
};

static char peek(struct reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\r' || *reader->at == '\n'))
		reader->at++;
	return reader->at < reader->end ? *reader->at : '\0';
}

static bool take(struct reader *reader, char wanted)
{
	if (peek(reader) != wanted)
		return false;
	reader->at++;
	return true;
}

static void expect(struct reader *reader, char wanted)
{
	if (!take(reader, wanted))
		reader->bad = true;
}

static uint32_t read_hex(struct reader *reader)
{
	uint32_t value = 0;
	for (int digit = 0; digit < 4; digit++) {
		char byte = reader->at < reader->end ? *reader->at++ : '\0';
		const char *digits = "0123456789abcdefABCDEF", *found = byte == '\0' ? NULL : strchr(digits, byte);
		if (found == NULL) {
			reader->bad = true;
			return 0;
		}
		long place = found - digits;
		value = value * 16 + (uint32_t)(place < 16 ? place : place - 6);
	}
	return value;
}

static size_t encode(uint32_t code, char bytes[4])
{
	if (code < 0x80) {
		bytes[0] = (char)code;
		return 1;
	}
	size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t at = size - 1; at > 0; at--, code >>= 6)
		bytes[at] = (char)(0x80 | (code & 0x3f));
	bytes[0] = (char)((size == 2 ? 0xc0 : size == 3 ? 0xe0 : 0xf0) | code);
	return size;
}

static size_t read_escape(struct reader *reader, char bytes[4])
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	char name = reader->at < reader->end ? *reader->at++ : '\0';
	const char *found = name == '\0' ? NULL : strchr(names, name);
	if (found != NULL) {
		bytes[0] = values[found - names];
		return 1;
	}
	uint32_t code = name == 'u' ? read_hex(reader) : 0;
	if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 2 && reader->at[0] == '\\' && reader->at[1] == 'u') {
		reader->at += 2;
		uint32_t low = read_hex(reader);
		code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : 0;
	}
	/* NUL would cut what we print; a lone surrogate is no character. */
	if (code == 0 || (code >= 0xd800 && code < 0xe000))
		reader->bad = true;
	return reader->bad ? 0 : encode(code, bytes);
}

/* Into a place of this size, or (NULL) past it. */
static void read_string(struct reader *reader, char *place, size_t size)
{
	size_t used = 0;
	expect(reader, '"');
	while (!reader->bad && reader->at < reader->end && *reader->at != '"') {
		char bytes[4] = { *reader->at++ };
		size_t count = 1;
		if (bytes[0] == '\\')
			count = read_escape(reader, bytes);
		else if ((unsigned char)bytes[0] < 0x20)
			reader->bad = true;
		if (place == NULL || reader->bad)
			continue;
		if (count >= size - used) {
			reader->bad = true;
			return;
		}
		memcpy(place + used, bytes, count);
		used += count;
	}
	if (place != NULL)
		place[used] = '\0';
	expect(reader, '"');
}

static uint64_t read_number(struct reader *reader)
{
	uint64_t value = 0;
	const char *start = reader->at;
	while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' && reader->at - start < 16)
		value = value * 10 + (uint64_t)(*reader->at++ - '0');
	reader->bad = reader->bad || reader->at == start;
	return value;
}

static void read_word(struct reader *reader)
{
	static const char *const words[] = { "true", "false", "null" };
	for (size_t word = 0; word < 3; word++) {
		size_t size = strlen(words[word]);
		if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, words[word], size) != 0)
			continue;
		reader->at += size;
		return;
	}
	reader->bad = true;
}

static void read_member(struct reader *reader, struct answer *answer)
{
	char key[32];
	const struct {
		const char *name;
		char *place;
		size_t size;
	} places[] = {
		{ "answer", answer->kind, sizeof(answer->kind) }, { "path", answer->path, sizeof(answer->path) },
		{ "mode", answer->mode, sizeof(answer->mode) }, { "reason", answer->reason, sizeof(answer->reason) },
	};
	read_string(reader, key, sizeof(key));
	expect(reader, ':');
	char first = peek(reader);
	if (first == '"') {
		size_t place = 0;
		while (place < 4 && strcmp(places[place].name, key) != 0)
			place++;
		read_string(reader, place < 4 ? places[place].place : NULL, place < 4 ? places[place].size : 0);
	} else if (first >= '0' && first <= '9') {
		uint64_t value = read_number(reader);
		if (strcmp(key, "id") == 0)
			answer->id = value;
	} else {
		read_word(reader);
	}
}

bool answer_read(struct answer *answer, const char *text, size_t size)
{
	struct reader reader = { .at = text, .end = text + size };
	memset(answer, 0, sizeof(*answer));
	expect(&reader, '{');
	if (!take(&reader, '}')) {
		do
			read_member(&reader, answer);
		while (!reader.bad && take(&reader, ','));
		expect(&reader, '}');
	}
	return !reader.bad && peek(&reader) == '\0' && reader.at == reader.end;
}
