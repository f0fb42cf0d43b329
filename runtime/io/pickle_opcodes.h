/* pickle_opcodes.h - the opcodes of pickle protocols 0 to 5 that pickle.c refuses, so that its
 * messages can name them (values as in CPython's Lib/pickletools.py). */
#ifndef MILL_IO_PICKLE_OPCODES_H
#define MILL_IO_PICKLE_OPCODES_H

/* value, name */
#define MILL_PICKLE_REFUSED_MAP(X)                                                                 \
    X('I', INT)                                                                                    \
    X('L', LONG)                                                                                   \
    X('\x8b', LONG4)                                                                               \
    X('S', STRING)                                                                                 \
    X('T', BINSTRING)                                                                              \
    X('U', SHORT_BINSTRING)                                                                        \
    X('B', BINBYTES)                                                                               \
    X('C', SHORT_BINBYTES)                                                                         \
    X('\x8e', BINBYTES8)                                                                           \
    X('\x96', BYTEARRAY8)                                                                          \
    X('\x97', NEXT_BUFFER)                                                                         \
    X('\x98', READONLY_BUFFER)                                                                     \
    X('N', NONE)                                                                                   \
    X('V', UNICODE)                                                                                \
    X('\x8c', SHORT_BINUNICODE)                                                                    \
    X('\x8d', BINUNICODE8)                                                                         \
    X('F', FLOAT)                                                                                  \
    X('G', BINFLOAT)                                                                               \
    X(']', EMPTY_LIST)                                                                             \
    X('a', APPEND)                                                                                 \
    X('e', APPENDS)                                                                                \
    X('l', LIST)                                                                                   \
    X('d', DICT)                                                                                   \
    X('\x8f', EMPTY_SET)                                                                           \
    X('\x90', ADDITEMS)                                                                            \
    X('\x91', FROZENSET)                                                                           \
    X('0', POP)                                                                                    \
    X('2', DUP)                                                                                    \
    X('1', POP_MARK)                                                                               \
    X('g', GET)                                                                                    \
    X('p', PUT)                                                                                    \
    X('\x94', MEMOIZE)                                                                             \
    X('\x82', EXT1)                                                                                \
    X('\x83', EXT2)                                                                                \
    X('\x84', EXT4)                                                                                \
    X('\x93', STACK_GLOBAL)                                                                        \
    X('i', INST)                                                                                   \
    X('o', OBJ)                                                                                    \
    X('\x81', NEWOBJ)                                                                              \
    X('\x92', NEWOBJ_EX)                                                                           \
    X('\x95', FRAME)                                                                               \
    X('P', PERSID)

#endif
