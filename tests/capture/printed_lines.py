# ruff: noqa: E501 - the lines are as long as the scripts print them
r"""Lines that public training scripts print, and the metrics that they state.

Each case is a script or library, its lines, and the expected samples. ``{e}`` counts epochs,
``{s}`` counts steps; ``{a}`` to ``{f}`` are values. A sample is ``name@context=value``, with a unit after a
space. ``/e``, ``/s`` and ``/es`` say that the samples after it have the epoch, the step, or both;
``/1s`` says that they have the epoch 1 and the step.
"""

from __future__ import annotations

CASES: dict[str, tuple[str, str]] = {
    "makemore": (
        "step {s} | loss {a} | step time 12.3ms",
        "/s loss={a} | step time=12.3 ms",
    ),
    "makemore evaluation": (
        "step {s} train loss: {a} test loss: {b}",
        "/s loss@training={a} | loss@evaluation={b}",
    ),
    "minGPT": (
        "iter_dt 12.34ms; iter {s}: train loss {a}",
        "/s iter_dt=12.34 ms | loss@training={a}",
    ),
    "nanoGPT": (
        "iter {s}: loss {a}, time 93.12ms, mfu {b}%",
        "/s loss={a} | time=93.12 ms | mfu={b} %",
    ),
    "nanoGPT evaluation": (
        "step {s}: train loss {a}, val loss {b}",
        "/s loss@training={a} | loss@validation={b}",
    ),
    "micrograd": ("step {s} loss {a}, accuracy {b}%", "/s loss={a} | accuracy={b} %"),
    "llm.c": (
        "step    {s}/900 | train loss {a} | norm {b} | lr {c} | (123.45 ms | 1234 tok/s)",
        "/s loss@training={a} | norm@training={b} | lr@training={c}",
    ),
    "llm.c in C": ("step {s}: train loss {a} (took 1234.567 ms)", "/s loss@training={a}"),
    "modded nanoGPT": ("step:{s}/5100 val_loss:{a}", "/s loss@validation={a}"),
    "pytorch/examples mnist": (
        "Train Epoch: {e} [{s}/60000 (1%)]\tLoss: {a}",
        "/es Loss@training={a}",
    ),
    "pytorch/examples mnist test": (
        "Train Epoch: {e} [{s}/60000 (1%)]\tLoss: {a}\n\n"
        "Test set: Average loss: {b}, Accuracy: 9840/10000 ({p}%)\n",
        "/es Loss@training={a} /e Average loss@evaluation={b} | Accuracy@evaluation={p} %",
    ),
    "pytorch/examples vae": (
        "====> Epoch: {e} Average loss: {a}\n====> Test set loss: {b}",
        "/e Average loss={a} | loss@evaluation={b}",
    ),
    "pytorch/examples word_language_model": (
        "| epoch   {e} |   {s}/ 2983 batches | lr 20.00 | ms/batch {a} | loss  {b} | ppl  {c}",
        "/es lr@training=20.0 | ms/batch@training={a} | loss@training={b} | ppl@training={c}",
    ),
    "pytorch/examples word_language_model evaluation": (
        "-----\n| end of epoch   {e} | time:  5.12s | valid loss  {a} | valid ppl  {b}\n-----",
        "/e loss@validation={a} | ppl@validation={b}",
    ),
    "pytorch/examples imagenet": (
        "Epoch: [{e}][  {s}/5005]\tTime  0.3 ( 1.2)\tLoss {a} ({b})\tAcc@1   {c} (  0.14)",
        "/es Loss={a} | Acc@1={c}",
    ),
    "pytorch/examples imagenet test": (
        " * Acc@1 {a} Acc@5 {b}",
        "Acc@1={a} | Acc@5={b}",
    ),
    "pytorch/examples dcgan": (
        "[{e}/25][{s}/1583] Loss_D: {a} Loss_G: {b} D(x): {c} D(G(z)): {d} / 0.01",
        "/es Loss_D={a} | Loss_G={b} | D(x)={c} | D(G(z))={d}",
    ),
    "pytorch/examples super_resolution": (
        "===> Epoch[{e}]({s}/50): Loss: {a}",
        "/es Loss={a}",
    ),
    "pytorch/examples super_resolution test": ("===> Avg. PSNR: {a} dB", "Avg. PSNR={a} dB"),
    "pytorch/examples fast_neural_style": (
        "Mon Nov 30 10:00:00 2026\tEpoch {e}:\t[{s}/82783]\tcontent: {a}\tstyle: {b}\ttotal: {c}",
        "/es content={a} | style={b} | total={c}",
    ),
    "pytorch/examples reinforcement_learning": (
        "Episode {s}\tLast reward: {a}\tAverage reward: {b}",
        "/s Last reward={a} | Average reward={b}",
    ),
    "pytorch/examples regression": ("Loss: {a} after {s} batches", "/s Loss={a}"),
    "pytorch/examples time_sequence": (
        "STEP:  {s}\nloss: {a}\ntest loss: {b}",
        "/s loss={a} | loss@evaluation={b}",
    ),
    "pytorch/examples gat": (
        "Epoch: {e} loss_train: {a} acc_train: {b} loss_val: {c} acc_val: {d} time: 0.01s",
        "/e loss@training={a} | acc@training={b} | loss@validation={c} | acc@validation={d}",
    ),
    "pytorch quickstart": (
        "Epoch {e}\n-------------------------------\nloss: {a}  [{s}/60000]\n"
        "Test Error: \n Accuracy: {p}%, Avg loss: {b} \n",
        "/es loss={a} /e Accuracy@evaluation={p} % | Avg loss@evaluation={b}",
    ),
    "pytorch cifar tutorial": ("[{e},  {s}] loss: {a}", "/es loss={a}"),
    "pytorch transfer learning tutorial": (
        "Epoch {e}/24\n----------\ntrain Loss: {a} Acc: {b}\nval Loss: {c} Acc: {d}\n",
        "/e Loss@training={a} | Acc@training={b} | Loss@validation={c} | Acc@validation={d}",
    ),
    "torchvision references": (
        "Epoch: [{e}]  [{s}/1875]  eta: 1:02:03  lr: 0.1  loss: {a} ({b})  acc1: {c} (0.0)  "
        "time: 2.0  max mem: 3000",
        "/es lr@training=0.1 | loss@training={a} | acc1@training={c}",
    ),
    "timm": (
        "Train: {e} [{s}/1251 (  4%)]  Loss: {a} (6.97)  Time: 0.4s, 300/s  LR: {b}",
        "/es Loss@training={a} | LR@training={b}",
    ),
    "Hugging Face Trainer": (
        "{{'loss': '{a}', 'grad_norm': '{b}', 'learning_rate': '5e-05', 'epoch': '{e}'}}",
        "/e loss@training={a} | grad_norm@training={b} | learning_rate@training=5e-05",
    ),
    "Hugging Face Trainer evaluation": (
        "{{'eval_loss': {a}, 'eval_runtime': 1.25, 'eval_samples_per_second': 9.5, 'epoch': {e}.0}}",
        "/e loss@evaluation={a}",
    ),
    "XGBoost": (
        "[{s}]\teval-logloss:{a}\ttrain-auc:{b}",
        "/s logloss@evaluation={a} | auc@training={b}",
    ),
    "XGBoost with an objective of its own": (
        "[{s}]\ttrain-PyRMSLE:{a}\teval-gamma-deviance:{b}",
        "/s PyRMSLE@training={a} | gamma-deviance@evaluation={b}",
    ),
    "LightGBM": (
        "[{s}]\tvalid_0's l2: {a}\tvalid_0's auc: {b}",
        "/s l2@validation={a} | auc@validation={b}",
    ),
    "CatBoost": (
        "{s}:\tlearn: {a}\ttest: {b}\tbest: {c} (0)\ttotal: 58ms\tremaining: 57s",
        "/s learn@training={a} | test@evaluation={b} | best={c}",
    ),
    "Optuna": (
        "[I 2026-11-30 10:00:00,123] Trial {s} finished with value: {a} and parameters: "
        "{{'lr': 0.01}}. Best is trial 0 with value: 0.4.",
        "/s value={a}",
    ),
    "fairseq": (
        "2026-11-30 10:00:00 | INFO | train_inner | epoch 001:    {s} / 1200 loss={a}, ppl={b}, "
        "wps=30000, num_updates={s}, lr=1e-05, gnorm={c}, train_wall=30",
        "/1s loss@training={a} | ppl@training={b} | lr@training=1e-05 | gnorm@training={c}",
    ),
    "Megatron-LM": (
        " iteration   {s}/     900 | consumed samples:   160 | learning rate: 1.500E-05 | "
        "global batch size:    16 | lm loss: {a} | grad norm: {b} | number of nan iterations:   0 |",
        "/s learning rate@training=1.5e-05 | lm loss@training={a} | grad norm@training={b}",
    ),
    "DeepSpeed": (
        "[2026-11-30 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step={s}, skipped=0, "
        "lr=[{a}], mom=[(0.9, 0.999)]",
        "/s lr@training={a}",
    ),
    "detectron2": (
        "[11/30 10:00:00 d2.utils.events]:  eta: 0:10:00  iter: {s}  total_loss: {a}  loss_cls: {b}"
        "  lr: 0.0001  max_mem: 3000M",
        "/s total_loss@training={a} | loss_cls@training={b} | lr@training=0.0001",
    ),
    "mmengine": (
        "11/30 10:00:00 - mmengine - INFO - Epoch(train)  [{e}][{s}/3750]  lr: 2.0000e-03  "
        "eta: 1:00:00  loss_cls: {a}  loss: {b}",
        "/es lr@training=0.002 | loss_cls@training={a} | loss@training={b}",
    ),
    "PaddlePaddle": (
        "[2026/11/30 10:00:00] ppcls INFO: [Train][Epoch {e}/120][Iter: {s}/31]lr: 0.0001, "
        "top1: {a}, CELoss: {b}, loss: {c}, ips: 64.1 images/s, eta: 0:31:00",
        "/es lr@training=0.0001 | top1@training={a} | CELoss@training={b} | loss@training={c}",
    ),
    "flair": (
        "2026-11-30 10:00:00,123 epoch {e} - iter {s}/900 - loss {a} - time (sec): 1.23 - "
        "samples/sec: 123.4 - lr: 0.01",
        "/es loss@training={a} | lr@training=0.01",
    ),
    "flair evaluation": (
        "DEV : loss {a} - f1-score (micro avg)  {b}",
        "loss@validation={a} | f1-score@validation={b}",
    ),
    "TensorFlow estimator": (
        "INFO:tensorflow:loss = {a}, step = {s} (1.234 sec)\nINFO:tensorflow:global_step/sec: 123.4",
        "/s loss={a}",
    ),
    "TensorFlow estimator evaluation": (
        "INFO:tensorflow:Saving dict for global step {s}: accuracy = {a}, global_step = {s}, "
        "loss = {b}",
        "/s accuracy={a} | loss={b}",
    ),
    "CleanRL": ("global_step={s}, episodic_return=[{a}]\nSPS: 1234", "/s episodic_return={a}"),
    "keras-io loop": (
        "Training loss (for one batch) at step {s}: {a}",
        "/s loss@training={a}",
    ),
    "pix2pix": (
        "(epoch: {e}, iters: {s}, time: 0.123) G_GAN: {a} G_L1: {b} D_real: {c} D_fake: {d}",
        "/es G_GAN={a} | G_L1={b} | D_real={c} | D_fake={d}",
    ),
    "sklearn MLPClassifier": ("Iteration {s}, loss = {a}", "/s loss={a}"),
    "MXNet": (
        "INFO:root:Epoch[{e}] Batch [{s}]\tSpeed: 1234.56 samples/sec\taccuracy={a}\n"
        "INFO:root:Epoch[{e}] Validation-accuracy={b}",
        "/es accuracy={a} /e accuracy@validation={b}",
    ),
    "Keras-GAN": (
        "{s} [D loss: {a}, acc.: {p}%] [G loss: {b}]",
        "/s D loss={a} | acc={p} % | G loss={b}",
    ),
    "PyTorch-GAN": (
        "[Epoch {e}/200] [Batch {s}/938] [D loss: {a}] [G loss: {b}]",
        "/es D loss={a} | G loss={b}",
    ),
    "DGL": (
        "Epoch {e} | Val_Loss {a} | Time(s) 0.1234",
        "/e Loss@validation={a}",
    ),
    "keras by hand": (
        "Epoch {e}/10 - loss: {a} - val_loss: {b}",
        "/e loss={a} | loss@validation={b}",
    ),
    "pairs": ("epoch={e} loss={a} acc={b}", "/e loss={a} | acc={b}"),
    "one value": ("loss: {a}", "loss={a}"),
    "contexts alone": (
        "Epoch    {e}/100  train={a}  val={b}  lr=1.00e-03",
        "/e train@training={a} | val@validation={b} | lr@training=0.001",
    ),
    "four columns": (
        "Epoch: {e} Train Loss: {a} Train Acc: {b} Eval Loss: {c} Eval Acc: {d}",
        "/e Loss@training={a} | Acc@training={b} | Loss@evaluation={c} | Acc@evaluation={d}",
    ),
    "sentence": ("Epoch {e} validation accuracy: {a}", "/e accuracy@validation={a}"),
    "equals and percent": (
        "Epoch {e}: Loss={a}, Acc={p}%, Time=3.21s",
        "/e Loss={a} | Acc={p} %",
    ),
    "dots": (
        "Epoch:{e}/10.. Train Loss: {a}.. Val Loss: {b}.. Val Acc:{c}..",
        "/e Loss@training={a} | Loss@validation={b} | Acc@validation={c}",
    ),
    "other losses": (
        "Epoch: {e}/10 Train Loss: {a}, Recon loss: {b}, KL loss: {c},  Test Loss: {d}",
        "/e Loss@training={a} | Recon loss@training={b} | KL loss@training={c} | "
        "Loss@evaluation={d}",
    ),
    "logging": (
        "2026-11-30 10:00:00,123 - root - INFO - Epoch {e}, Loss: {a}",
        "/e Loss={a}",
    ),
    "list of values": (
        "  - Total Loss: {a}\n  - KL Loss (Task): {b}",
        "Total Loss={a} | KL Loss={b}",
    ),
    "snake": (
        "Episode {s}/500 | Avg Score: {a} | Loss: {b} | Epsilon: {c}",
        "/s Avg Score={a} | Loss={b} | Epsilon={c}",
    ),
    "meters": (
        "Epoch: [{e}]\tIter: [{s}]\tTime 0.123 (0.123)\tLoss {a} (0.6)",
        "/es Loss={a}",
    ),
    "prefixes": (
        "epoch: [{e}][ {s}/500], lr: 0.01, loss: {a}, loss_C: {b}.",
        "/es lr@training=0.01 | loss@training={a} | loss_C@training={b}",
    ),
    "thousands": ("step=1,2{n}/5,000 loss={a} tok/s=12,345", "/1 loss={a}"),
    "a clause": ("Test accuracy: {p}% (912/1000 correct)", "accuracy@evaluation={p} %"),
    "in brackets": (
        "[ Train | {s}/900 ] loss = {a}, acc = {b}\n[ Valid | {s}/900 ] loss = {c}, acc = {d}",
        "/s loss@training={a} | acc@training={b} | loss@validation={c} | acc@validation={d}",
    ),
    "train and val": (
        " train: loss {a} acc {b}\n  val: loss {c} acc {d}",
        "loss@training={a} | acc@training={b} | loss@validation={c} | acc@validation={d}",
    ),
    "slashes": (
        "train/loss: {a} train/acc: {b} val/loss: {c}",
        "loss@training={a} | acc@training={b} | loss@validation={c}",
    ),
    "arrow": (
        "---> loss {a}, f1: {b}, precision: {c}, recall: {d}",
        "loss={a} | f1={b} | precision={c} | recall={d}",
    ),
    "JSON by hand": (
        '{{"epoch": {e}, "train_loss": {a}, "test_acc": {b}, "n_parameters": 123456}}',
        "/e loss@training={a} | acc@evaluation={b}",
    ),
    "rouge": ("Rouge-L: {a}  BLEU: {b}", "Rouge-L={a} | BLEU={b}"),
    "evolution": ("Gen {s}: best={a} avg={b} std={c}", "/s best={a} | avg={b} | std={c}"),
    "cost": ("Cost after iteration {s}: {a}", "/s Cost={a}"),
    "reward": ("ep {s} reward {a} avg {b}", "/s reward={a} | avg={b}"),
    "physics": (
        "sweep {s}: energy {a} magnetization {b}",
        "/s energy={a} | magnetization={b}",
    ),
    "tensors": (
        "Epoch {e} loss: tensor({a}, grad_fn=<NllLossBackward0>)",
        "/e loss={a}",
    ),
    "numpy": ("epoch {e} rmse np.float64({a})", "/e rmse={a}"),
    "not finite": (
        "step {s} loss nan grad_norm inf",
        "/s loss@training=nan | grad_norm@training=inf",
    ),
    "tqdm description": (
        "epoch {e} loss {a}: 100%|██████████| {s}/900 [00:03<00:00, 12.30it/s]",
        "/es loss={a}",
    ),
    "spaCy": (
        "E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  SCORE \n"
        "---  ------  ------------  --------  ------  ------\n"
        "  {e}     {s}        {a}   {b}   {c}    {d}",
        "/es LOSS TOK2VEC={a} | LOSS NER={b} | ENTS_F={c} | SCORE={d}",
    ),
    "skorch": (
        "  epoch    train_loss    valid_acc    valid_loss    cp     dur\n"
        "-------  ------------  -----------  ------------  ----  ------\n"
        "      {e}        {a}       {b}        {c}          0.0145",
        "/e loss@training={a} | acc@validation={b} | loss@validation={c}",
    ),
    "sklearn GradientBoosting": (
        "      Iter       Train Loss   Remaining Time \n       {s}           {a}            2.31s",
        "/s Loss@training={a}",
    ),
    "fastai": (
        "epoch     train_loss  valid_loss  accuracy  time    \n"
        "{e}         {a}    {b}    {c}  00:05     ",
        "/e loss@training={a} | loss@validation={b} | accuracy={c}",
    ),
    "ultralytics": (
        "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n"
        "      {e}/9      0.61G    {a}    {b}    {c}         12        640: "
        "100%|██████████| 4/4 [00:01<00:00]",
        "/e box_loss={a} | cls_loss={b} | dfl_loss={c}",
    ),
    "Stable-Baselines3": (
        "-----------------------------\n| rollout/           |      |\n"
        "|    ep_rew_mean     | {a} |\n| time/              |      |\n"
        "|    fps             | 1234 |\n|    total_timesteps | {s} |\n"
        "| train/             |      |\n|    value_loss      | {b} |\n"
        "-----------------------------",
        "/s rollout/ep_rew_mean={a} | value_loss@training={b}",
    ),
    "spinningup": (
        "---------------------------------------\n|             Epoch |               {e} |\n"
        "|      AverageEpRet |            {a} |\n|            LossPi |          {b} |\n"
        "---------------------------------------",
        "/e AverageEpRet={a} | LossPi={b}",
    ),
    "Lightning test": (
        "┃        Test metric        ┃       DataLoader 0        ┃\n"
        "│         test_acc          │    {a}     │\n"
        "│         test_loss         │    {b}     │\n"
        "└───────────────────────────┴───────────────────────────┘",
        "acc@evaluation={a} | loss@evaluation={b}",
    ),
}
