/* weight_balance.h - queries and keys brought to one scale.
 *
 * Some elements of a key can be a hundred times as large as the others: biases are, in models of
 * the Qwen2 family. A cache of 8 bits with one scale for a key would keep little of the others. So
 * the rows of the k projection are multiplied by powers of two that make their elements about
 * equally large, and those of the q projection divided by them. The two elements that a position
 * turns into each other have one factor, so a score is what it was, to the last bit: the sums are
 * those of exactly scaled terms. */
#ifndef MILL_MODEL_WEIGHT_BALANCE_H
#define MILL_MODEL_WEIGHT_BALANCE_H

#include "runtime/model/weight_rows.h"

/* Prepares mill_rows_plain, of tensors q, k and v and with source->keys: a factor for each row. */
mill_row_prepare mill_rows_prepare_balance;

#endif
