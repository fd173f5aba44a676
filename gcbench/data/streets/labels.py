"""The class ids that the drawing code writes into a layout: Cityscapes' 19 train ids, and void."""

ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN = range(10)
SKY, PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE, VOID = range(10, 20)
