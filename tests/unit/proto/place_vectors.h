/* name, zone of 2, zone of 4, zone of 16; docs/protocol.md has the same rows */
{"a", 0, 0, 4}, {"b", 1, 2, 4}, {"model/0", 0, 0, 10}, {"model/1", 0, 0, 12}, {"model/2", 1, 1, 8},
    {"x/y/z", 1, 1, 12}, {"farheap", 1, 1, 7}, {"0123456789abcdef0123456789abcdef", 1, 3, 14},
