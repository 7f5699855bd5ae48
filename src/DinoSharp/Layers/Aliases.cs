// In files that also import TorchSharp.Modules these names mean our layers, not the library's, which fill their weights with random numbers at construction.
global using BatchNorm = DinoSharp.Layers.BatchNorm;
global using Convolution = DinoSharp.Layers.Convolution;
global using GroupNorm = DinoSharp.Layers.GroupNorm;
global using Linear = DinoSharp.Layers.Linear;
