/* The cases of eval_torch.c. */
#ifndef EBRU_TESTS_UNIT_IR_EVAL_TORCH_H
#define EBRU_TESTS_UNIT_IR_EVAL_TORCH_H

void conv2d_stride_and_asymmetric_padding(void **state);
void conv2d_with_all_operands(void **state);
void linear_with_residual_and_activation(void **state);
void group_norm_and_stats(void **state);
void norm_apply_of_stats(void **state);
void layer_norm_of_rows(void **state);
void activations(void **state);
void matmul_broadcasts_batches(void **state);
void softmax_of_rows(void **state);
void attention_cross_and_causal(void **state);
void timestep_embeddings(void **state);
void resize_to_odd_sizes(void **state);
void pools(void **state);
void geglu_of_halves(void **state);

#endif
